variable "name" {
  type        = string
  description = "Start of the names of roles and policies."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,50}$", var.name))
    error_message = "name must be 1 to 50 of A-Z, a-z, 0-9, _ and -: IAM allows 64, and the suffixes need room."
  }
}

variable "worker_service" {
  type        = string
  description = "Where the worker runs: ecs-tasks.amazonaws.com, or ec2.amazonaws.com for an instance profile."
  default     = "ecs-tasks.amazonaws.com"

  validation {
    condition     = contains(["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"], var.worker_service)
    error_message = "worker_service must be ecs-tasks.amazonaws.com or ec2.amazonaws.com."
  }
}

variable "work_queue_arns" {
  type        = list(string)
  description = "The queues that the worker takes jobs from."

  validation {
    condition     = length(var.work_queue_arns) > 0 && alltrue([for arn in var.work_queue_arns : !strcontains(arn, "*")])
    error_message = "work_queue_arns must name at least one queue, and each in full: no wildcard."
  }
}

variable "dead_letter_queue_arns" {
  type        = list(string)
  description = "The dead-letter queues of the work queues."

  validation {
    condition     = length(var.dead_letter_queue_arns) > 0 && alltrue([for arn in var.dead_letter_queue_arns : !strcontains(arn, "*")])
    error_message = "dead_letter_queue_arns must name at least one queue, and each in full: no wildcard."
  }
}

variable "result_queue_arn" {
  type        = string
  description = "The queue that results are sent to, or null."
  default     = null
}

variable "inputs" {
  type = list(object({
    bucket_arn = string
    prefixes   = optional(list(string), [""])
  }))
  description = "Where recordings and references lie: buckets, and the prefixes in them that the worker may read (default: all)."
  default     = []

  validation {
    condition     = alltrue([for input in var.inputs : !strcontains(input.bucket_arn, "*") && length(input.prefixes) > 0 && alltrue([for prefix in input.prefixes : !strcontains(prefix, "*")])])
    error_message = "inputs must name each bucket in full and at least one prefix without a wildcard: the * behind a prefix is added here."
  }
}

variable "results" {
  type = object({
    bucket_arn = string
    prefix     = optional(string, "results/")
  })
  description = "Where results are kept (WORKER_RESULTS_BUCKET, WORKER_RESULTS_PREFIX), or null."
  default     = null

  validation {
    condition     = var.results == null || try(endswith(var.results.prefix, "/"), false)
    error_message = "results.prefix must end with /: without it results* would also open results-of-others."
  }
}

variable "cluster_arn" {
  type        = string
  description = "The ECS cluster whose tasks may protect themselves from scale-in, or null outside ECS."
  default     = null

  validation {
    condition     = var.cluster_arn == null || can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/.+$", var.cluster_arn))
    error_message = "cluster_arn must be an ECS cluster's ARN."
  }
}

variable "webhook_secret_arn" {
  type        = string
  description = "The Secrets Manager secret with the webhook keys, or null."
  default     = null

  validation {
    condition     = var.webhook_secret_arn == null || can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^*]+$", var.webhook_secret_arn))
    error_message = "webhook_secret_arn must be a Secrets Manager secret's full ARN."
  }
}

variable "kms_key_arns" {
  type        = list(string)
  description = "Keys that queues, buckets or the secret are encrypted with."
  default     = []

  validation {
    condition     = alltrue([for arn in var.kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "kms_key_arns must be keys' ARNs (not aliases)."
  }
}

variable "decrypt_key_arns" {
  type        = list(string)
  description = "Keys of what is only read: inputs or a secret that others encrypted. Worker and sweeper may decrypt with them."
  default     = []

  validation {
    condition     = alltrue([for arn in var.decrypt_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "decrypt_key_arns must be keys' ARNs (not aliases)."
  }
}

variable "ecr_repository_arns" {
  type        = list(string)
  description = "Repositories that the image is pulled from."
  default     = []
}

variable "log_group_arns" {
  type        = list(string)
  description = "Log groups that tasks write to."
  default     = []
}

variable "producer_upload_arns" {
  type        = list(string)
  description = "Bucket ARNs with a prefix that producers may upload to, such as arn:aws:s3:::uploads/web/; empty: producers only enqueue."
  default     = []

  validation {
    condition     = alltrue([for arn in var.producer_upload_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+/([^*]*/)?$", arn))])
    error_message = "producer_upload_arns must be a bucket's ARN, a / and a prefix that ends with / (or nothing): the * is added here."
  }
}

variable "permissions_boundary_arn" {
  type        = string
  description = "Permissions boundary for the roles, where an organisation asks for one."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
