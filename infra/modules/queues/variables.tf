variable "name" {
  type        = string
  description = "Name of the main queue; the others are named after it (-high, .fifo, -dlq, -results)."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,60}$", var.name))
    error_message = "name must be 1 to 60 of A-Z, a-z, 0-9, _ and -: SQS allows 80, and the suffixes need room."
  }
}

variable "high_priority_queue" {
  type        = bool
  description = "Also make a queue that workers empty before the main one."
  default     = false
}

variable "fifo_queue" {
  type        = bool
  description = "Also make a FIFO queue (one job in flight per message group), with a FIFO dead-letter queue."
  default     = false
}

variable "results_queue" {
  type        = bool
  description = "Also make a queue that results are sent to (WORKER_RESULT_QUEUE_URL)."
  default     = false
}

variable "visibility_timeout_seconds" {
  type        = number
  description = "Visibility timeout. The worker passes its own WORKER_VISIBILITY_TIMEOUT_S with each receive; this is what other readers get. Keep the two equal."
  default     = 60

  validation {
    condition     = var.visibility_timeout_seconds >= 30 && var.visibility_timeout_seconds <= 43200
    error_message = "visibility_timeout_seconds must be 30 to 43200 (12 h, SQS's limit): the worker renews every third of it, and under 10 s between renewals one slow call loses the lease."
  }
}

variable "receive_wait_time_seconds" {
  type        = number
  description = "Long poll. 20 s is SQS's limit and the cheapest."
  default     = 20

  validation {
    condition     = var.receive_wait_time_seconds >= 1 && var.receive_wait_time_seconds <= 20
    error_message = "receive_wait_time_seconds must be 1 to 20: 0 is short polling, which costs a request for every empty look and misses messages."
  }
}

variable "max_receive_count" {
  type        = number
  description = "How often a message is received before it is dead-lettered: the number of attempts. The worker reads it from the queue at start; this is the only place that says it."
  default     = 6

  validation {
    condition     = var.max_receive_count >= 4 && var.max_receive_count <= 1000 && floor(var.max_receive_count) == var.max_receive_count
    error_message = "max_receive_count must be a whole number, 4 to 1000: the worker gives a crashed analysis three receives, and must have one left to say so."
  }
}

variable "message_retention_seconds" {
  type        = number
  description = "How long a message waits at most. Default: 4 days, so that a long weekend's outage loses nothing."
  default     = 345600

  validation {
    condition     = var.message_retention_seconds >= 3600 && var.message_retention_seconds <= 1209600
    error_message = "message_retention_seconds must be 3600 (1 h) to 1209600 (14 days)."
  }
}

variable "dead_letter_retention_seconds" {
  type        = number
  description = "How long a dead letter is kept. Default: 14 days, SQS's limit. A message that SQS moves by itself keeps its first enqueue time, so this must be longer than message_retention_seconds."
  default     = 1209600

  validation {
    condition     = var.dead_letter_retention_seconds > var.message_retention_seconds && var.dead_letter_retention_seconds <= 1209600
    error_message = "dead_letter_retention_seconds must be longer than message_retention_seconds and at most 1209600 (14 days)."
  }
}

variable "max_message_bytes" {
  type        = number
  description = "Largest message, with its attributes. A job is under 8 kB."
  default     = 262144

  validation {
    condition     = var.max_message_bytes >= 16384 && var.max_message_bytes <= 1000000
    error_message = "max_message_bytes must be 16384 to 1000000: below SQS's 1048576, so that a dead letter has room for its reason."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key for the messages; null means SQS-managed keys (SSE-SQS), which cost nothing."
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be a key's ARN (not an alias): IAM policies name keys by ARN."
  }
}

variable "kms_data_key_reuse_period_seconds" {
  type        = number
  description = "How long SQS reuses a data key: longer means fewer KMS calls to pay."
  default     = 3600

  validation {
    condition     = var.kms_data_key_reuse_period_seconds >= 60 && var.kms_data_key_reuse_period_seconds <= 86400
    error_message = "kms_data_key_reuse_period_seconds must be 60 to 86400."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
