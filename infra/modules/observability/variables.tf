variable "name" {
  type        = string
  description = "Name of the fleet: the dashboard's, and the start of the alarms'."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,60}$", var.name))
    error_message = "name must be 1 to 60 of A-Z, a-z, 0-9, _ and -."
  }
}

variable "work_queue_names" {
  type        = list(string)
  description = "Work queues."

  validation {
    condition     = length(var.work_queue_names) > 0
    error_message = "work_queue_names must name at least one queue."
  }
}

variable "dead_letter_queue_names" {
  type        = list(string)
  description = "Dead-letter queues."

  validation {
    condition     = length(var.dead_letter_queue_names) > 0
    error_message = "dead_letter_queue_names must name at least one queue: a dead letter that nobody is told of is a lost job."
  }
}

variable "cluster_name" {
  type        = string
  description = "ECS cluster, with Container Insights on."
}

variable "service_name" {
  type        = string
  description = "ECS service."
}

variable "log_group_name" {
  type        = string
  description = "Log group of the workers, which run with WORKER_METRICS_EMF=true and WORKER_LOG_FORMAT=json."
}

variable "alarm_emails" {
  type        = list(string)
  description = "Addresses that get the alarms; each must confirm once. Anything else can subscribe to the topic."
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "runbook_url" {
  type        = string
  description = "Where docs/runbook.md can be read; goes into each alarm's text."
  default     = null

  validation {
    condition     = var.runbook_url == null || can(regex("^https?://", var.runbook_url))
    error_message = "runbook_url must be a URL."
  }
}

variable "dead_letter_threshold" {
  type        = number
  description = "Dead letters above which it is not one bad job but a fault."
  default     = 10

  validation {
    condition     = var.dead_letter_threshold >= 1
    error_message = "dead_letter_threshold must be at least 1: one is the other alarm's business."
  }
}

variable "oldest_message_threshold_s" {
  type        = number
  description = "Age of the oldest job, in seconds, that is too old. A job that is being retried counts: its back-offs add up to half an hour."
  default     = 900

  validation {
    condition     = var.oldest_message_threshold_s >= 60
    error_message = "oldest_message_threshold_s must be at least 60: SQS's own figure is a minute late."
  }
}

variable "error_rate_percent" {
  type        = number
  description = "Share of settled jobs that may end as dead letters, in percent."
  default     = 5

  validation {
    condition     = var.error_rate_percent > 0 && var.error_rate_percent < 100
    error_message = "error_rate_percent must be between 0 and 100."
  }
}

variable "crash_rate_percent" {
  type        = number
  description = "Share of settled jobs that may lose or block their analysis process, in percent."
  default     = 1

  validation {
    condition     = var.crash_rate_percent > 0 && var.crash_rate_percent < 100
    error_message = "crash_rate_percent must be between 0 and 100."
  }
}

variable "delivery_failure_percent" {
  type        = number
  description = "Share of webhook attempts that may fail, in percent."
  default     = 20

  validation {
    condition     = var.delivery_failure_percent > 0 && var.delivery_failure_percent < 100
    error_message = "delivery_failure_percent must be between 0 and 100."
  }
}

variable "leases_lost_threshold" {
  type        = number
  description = "Leases that may be lost in five minutes."
  default     = 5

  validation {
    condition     = var.leases_lost_threshold >= 0
    error_message = "leases_lost_threshold must not be negative."
  }
}

variable "error_lines_threshold" {
  type        = number
  description = "Lines of level error that may be logged in five minutes."
  default     = 10

  validation {
    condition     = var.error_lines_threshold >= 0
    error_message = "error_lines_threshold must not be negative."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key for the topic, or null. Its policy must let cloudwatch.amazonaws.com decrypt and generate data keys, or no alarm arrives; the key that AWS manages for SNS does not."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
