# What a fleet is told. Each has a default but the first block; the modules check the rest.

variable "name" {
  type        = string
  description = "Name of the fleet; everything is named after it. With a region in it where two fleets share an account: role names are the account's."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,21}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 23 of a-z, 0-9 and -, begin with a letter and not end with -: bucket names grow from it."
  }
}

variable "vpc_id" {
  type        = string
  description = "VPC of the tasks."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets of the tasks, in two zones or more, with a way out to the webhooks' hosts."
}

# --- the image: one of the two

variable "image_tag" {
  type        = string
  description = "Tag to run from the repository made here; a version or a commit."
  default     = null
}

variable "image" {
  type        = string
  description = "Image to run from elsewhere, in full."
  default     = null
}

variable "further_repository_arns" {
  type        = list(string)
  description = "Repositories that image is pulled from, beside the one made here."
  default     = []
}

variable "cpu_architecture" {
  type        = string
  description = "X86_64 or ARM64: as the image was built."
  default     = "X86_64"
}

# --- jobs

variable "high_priority_queue" {
  type        = bool
  description = "Also make a queue that workers empty first."
  default     = false
}

variable "fifo_queue" {
  type        = bool
  description = "Also make a FIFO queue."
  default     = false
}

variable "results_queue" {
  type        = bool
  description = "Also send results to a queue."
  default     = false
}

variable "visibility_timeout_s" {
  type        = number
  description = "Visibility timeout of queues and workers."
  default     = 60
}

variable "max_receive_count" {
  type        = number
  description = "Attempts before a job is dead-lettered."
  default     = 6
}

variable "message_retention_s" {
  type        = number
  description = "How long a job waits at most."
  default     = 345600
}

variable "dead_letter_retention_s" {
  type        = number
  description = "How long a dead letter is kept."
  default     = 1209600
}

# --- data

variable "further_inputs" {
  type = list(object({
    bucket_arn = string
    prefixes   = optional(list(string), [""])
  }))
  description = "Buckets of your own, beside those made here, that jobs may name. The worker may read the prefixes."
  default     = []

  validation {
    condition     = alltrue([for input in var.further_inputs : can(regex("^arn:[a-z-]+:s3:::[a-z0-9][a-z0-9.-]+$", input.bucket_arn))])
    error_message = "further_inputs must name buckets by ARN."
  }
}

variable "uploads_expire_days" {
  type        = number
  description = "After how many days recordings are deleted."
  default     = 30
}

variable "results_expire_days" {
  type        = number
  description = "After how many days results are deleted."
  default     = 90
}

variable "results_prefix" {
  type        = string
  description = "Prefix of the results in their bucket."
  default     = "results/"
}

variable "upload_origins" {
  type        = list(string)
  description = "Origins whose pages may upload with a presigned URL."
  default     = []
}

# --- webhooks

variable "webhook_secret_arn" {
  type        = string
  description = "Secret with the webhook keys, where there is one already; null: an empty one is made, to be filled by hand (docs/deploy.md)."
  default     = null
}

variable "create_webhook_secret" {
  type        = bool
  description = "Make a secret where webhook_secret_arn names none. False where it names one that is made in the same configuration: its ARN is not known in the plan."
  default     = true

  validation {
    condition     = var.create_webhook_secret || var.webhook_secret_arn != null
    error_message = "create_webhook_secret = false needs webhook_secret_arn: nobody could tell this fleet's webhooks from a stranger's."
  }
}

variable "webhook_secret_replica_regions" {
  type        = list(string)
  description = "Regions that the secret made here is copied to."
  default     = []
}

variable "webhook_ports" {
  type        = list(number)
  description = "Ports that webhooks may go to, beside 443."
  default     = [443]
}

variable "environment" {
  type        = map(string)
  description = "Further WORKER_ settings (README.md lists them)."
  default     = {}
}

# --- size

variable "slots_per_task" {
  type        = number
  description = "Analysis processes in a task; a vCPU and 2 GiB each."
  default     = 2

  validation {
    condition     = contains([1, 2, 4, 8], var.slots_per_task)
    error_message = "slots_per_task must be 1, 2, 4 or 8: Fargate's sizes."
  }
}

variable "min_tasks" {
  type        = number
  description = "Fewest tasks; 0 lets the fleet sleep."
  default     = 1
}

variable "max_tasks" {
  type        = number
  description = "Most tasks."
  default     = 20
}

variable "job_seconds" {
  type        = number
  description = "Seconds that a job keeps a slot, on average."
  default     = 0.6
}

variable "acceptable_wait_s" {
  type        = number
  description = "How long a job may wait for a slot."
  default     = 20
}

variable "schedules" {
  type = map(object({
    schedule  = string
    timezone  = optional(string, "UTC")
    min_tasks = number
  }))
  description = "Minimum by the clock."
  default     = {}
}

variable "fargate_weight" {
  type        = number
  description = "Share of tasks on Fargate proper. One task always is, and this 1 or more for it, unless min_tasks is 0."
  default     = 1
}

variable "fargate_spot_weight" {
  type        = number
  description = "Share of tasks on Fargate Spot."
  default     = 3
}

# --- looking after it

variable "alarm_emails" {
  type        = list(string)
  description = "Addresses that get the alarms."
  default     = []
}

variable "runbook_url" {
  type        = string
  description = "Where docs/runbook.md can be read."
  default     = null
}

variable "oldest_message_threshold_s" {
  type        = number
  description = "Age of the oldest job that is too old."
  default     = 900
}

variable "metrics_scrapers" {
  type        = map(string)
  description = "Security groups that may read /metrics, by a name of your choice."
  default     = {}
}

variable "log_retention_days" {
  type        = number
  description = "How long logs are kept."
  default     = 30
}

variable "sweep_schedule" {
  type        = string
  description = "When to sweep."
  default     = "rate(15 minutes)"
}

variable "sweep_enabled" {
  type        = bool
  description = "False stops the sweep."
  default     = true
}

# --- the account's ways

variable "kms_key_arn" {
  type        = string
  description = "One KMS key for queues, buckets, secret, images, logs and topic; null: AWS's own keys. Its policy must let logs and cloudwatch use it (infra/README.md)."
  default     = null
}

variable "further_kms_key_arns" {
  type        = list(string)
  description = "Keys that further_inputs, or a secret of your own, are encrypted with: worker and sweep may decrypt with them. A key of another account must also allow it in its own policy."
  default     = []
}

variable "permissions_boundary_arn" {
  type        = string
  description = "Permissions boundary for every role."
  default     = null
}

variable "destroyable" {
  type        = bool
  description = "Let terraform destroy take buckets with objects, images and the secret. For throw-away environments."
  default     = false
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
