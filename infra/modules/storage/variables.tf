variable "name" {
  type        = string
  description = "Start of the buckets' names; what they hold, the account and the region follow."

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,22}$", var.name))
    error_message = "name must be 1 to 23 of a-z, 0-9 and -: S3 allows 63, and -references-, the account and the region need up to 40."
  }
}

variable "uploads_expire_days" {
  type        = number
  description = "After how many days learners' recordings are deleted. They are voices of people: keep them no longer than needed, and longer than a dead letter (14 days), so that one can still be replayed."
  default     = 30

  validation {
    condition     = var.uploads_expire_days >= 15 && floor(var.uploads_expire_days) == var.uploads_expire_days
    error_message = "uploads_expire_days must be a whole number, 15 or more: a dead letter may be redriven for 14 days and needs its recording."
  }
}

variable "results_expire_days" {
  type        = number
  description = "After how many days results are deleted. A job_id that comes back later than this is computed and delivered anew."
  default     = 90

  validation {
    condition     = var.results_expire_days >= 15 && floor(var.results_expire_days) == var.results_expire_days
    error_message = "results_expire_days must be a whole number, 15 or more: a redriven dead letter (up to 14 days old) must still find what was delivered."
  }
}

variable "upload_origins" {
  type        = list(string)
  description = "Origins whose pages may PUT to the uploads bucket with a presigned URL; empty means no CORS rule."
  default     = []

  validation {
    condition     = alltrue([for origin in var.upload_origins : can(regex("^https://[^*/]+$", origin))])
    error_message = "upload_origins must be https origins without a path or a wildcard, such as https://app.example.com."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key for the objects; null means S3-managed keys (SSE-S3)."
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be a key's ARN (not an alias): IAM policies name keys by ARN."
  }
}

variable "force_destroy" {
  type        = bool
  description = "Let terraform destroy delete buckets that still hold objects. For throw-away environments."
  default     = false
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
