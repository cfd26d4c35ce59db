variable "region" {
  type        = string
  description = "AWS region."

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's name, such as ap-northeast-2."
  }
}

variable "name" {
  type        = string
  description = "Name of the fleet."
  default     = "speech"
}

variable "image_tag" {
  type        = string
  description = "Tag of the image that was pushed."
}

variable "availability_zones" {
  type        = list(string)
  description = "Zones of that region, two or more."

  validation {
    condition     = alltrue([for zone in var.availability_zones : startswith(zone, var.region)])
    error_message = "availability_zones must be zones of region."
  }
}

variable "nat_gateway_per_zone" {
  type        = bool
  description = "A NAT gateway in each zone, not one for all."
  default     = false
}

variable "high_priority_queue" {
  type        = bool
  description = "Also a queue that is emptied first."
  default     = true
}

variable "fifo_queue" {
  type        = bool
  description = "Also a FIFO queue."
  default     = false
}

variable "results_queue" {
  type        = bool
  description = "Also send results to a queue."
  default     = false
}

variable "upload_origins" {
  type        = list(string)
  description = "Origins whose pages may upload with a presigned URL."
  default     = []
}

variable "environment" {
  type        = map(string)
  description = "Further WORKER_ settings."
  default     = {}
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

variable "slots_per_task" {
  type        = number
  description = "Analysis processes in a task."
  default     = 2
}

variable "job_seconds" {
  type        = number
  description = "Seconds that a job keeps a slot."
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

variable "destroyable" {
  type        = bool
  description = "For throw-away environments: destroy takes the data with it."
  default     = false
}
