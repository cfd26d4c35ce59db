variable "cluster_name" {
  type        = string
  description = "ECS cluster, with Container Insights on: RunningTaskCount comes from there."
}

variable "service_name" {
  type        = string
  description = "ECS service to scale."
}

variable "queue_names" {
  type        = list(string)
  description = "Work queues whose jobs count as backlog, as CloudWatch names them."

  validation {
    condition     = length(var.queue_names) >= 1 && length(var.queue_names) <= 4
    error_message = "queue_names must name one to four queues: a policy takes ten metrics, and each queue needs two."
  }
}

variable "min_tasks" {
  type        = number
  description = "Fewest tasks. 0 lets the fleet sleep: nothing to pay, and the first job after a pause waits some minutes."
  default     = 1

  validation {
    condition     = var.min_tasks >= 0 && floor(var.min_tasks) == var.min_tasks
    error_message = "min_tasks must be a whole number, 0 or more."
  }
}

variable "max_tasks" {
  type        = number
  description = "Most tasks: what an hour may cost at worst. The account's Fargate vCPU quota must allow it."
  default     = 20

  validation {
    condition     = var.max_tasks >= 1 && var.max_tasks >= var.min_tasks && floor(var.max_tasks) == var.max_tasks
    error_message = "max_tasks must be a whole number, at least 1 and at least min_tasks."
  }
}

variable "slots_per_task" {
  type        = number
  description = "Analysis processes in a task (the service module's slots_per_task)."
  default     = 2

  validation {
    condition     = var.slots_per_task >= 1
    error_message = "slots_per_task must be at least 1."
  }
}

variable "job_seconds" {
  type        = number
  description = "Seconds that a job keeps a slot, on average: measured (docs/capacity.md says how)."
  default     = 0.6

  validation {
    condition     = var.job_seconds > 0
    error_message = "job_seconds must be above 0."
  }
}

variable "acceptable_wait_s" {
  type        = number
  description = "How long a job may wait for a slot while the fleet is as large as it should be. The target follows: slots_per_task x acceptable_wait_s / job_seconds."
  default     = 20

  validation {
    condition     = var.acceptable_wait_s > 0
    error_message = "acceptable_wait_s must be above 0."
  }
}

variable "target_backlog_per_task" {
  type        = number
  description = "Jobs per task to aim at, where the formula is not wanted; null: the formula."
  default     = null

  validation {
    condition     = var.target_backlog_per_task == null || try(var.target_backlog_per_task >= 1, false)
    error_message = "target_backlog_per_task must be at least 1."
  }
}

variable "scale_out_cooldown_s" {
  type        = number
  description = "Pause after growing: about as long as a task takes to start and be counted."
  default     = 60

  validation {
    condition     = var.scale_out_cooldown_s >= 0 && var.scale_out_cooldown_s <= 600
    error_message = "scale_out_cooldown_s must be 0 to 600."
  }
}

variable "scale_in_cooldown_s" {
  type        = number
  description = "Pause after shrinking."
  default     = 300

  validation {
    condition     = var.scale_in_cooldown_s >= 60 && var.scale_in_cooldown_s <= 3600
    error_message = "scale_in_cooldown_s must be 60 to 3600: shrinking faster than the fleet drains (120 s) removes tasks for one and the same lull twice."
  }
}

variable "wake_tasks" {
  type        = number
  description = "Tasks to start when a message meets an empty fleet (with min_tasks = 0)."
  default     = 1

  validation {
    condition     = var.wake_tasks >= 1 && var.wake_tasks <= var.max_tasks
    error_message = "wake_tasks must be at least 1 and at most max_tasks."
  }
}

variable "schedules" {
  type = map(object({
    schedule  = string
    timezone  = optional(string, "UTC")
    min_tasks = number
  }))
  description = "Minimum by the clock, such as { morning = { schedule = \"cron(30 7 ? * MON-FRI *)\", timezone = \"Asia/Seoul\", min_tasks = 4 }, night = {…} }."
  default     = {}

  validation {
    condition     = alltrue([for s in var.schedules : can(regex("^(cron|rate|at)\\(.+\\)$", s.schedule)) && s.min_tasks >= 0 && s.min_tasks <= var.max_tasks])
    error_message = "schedules must have a cron(...), rate(...) or at(...) expression each, and a min_tasks of at most max_tasks."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
