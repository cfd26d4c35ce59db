variable "name" {
  type        = string
  description = "Name of the fleet; -sweep follows."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.name))
    error_message = "name must be 2 to 41 of a-z, 0-9 and -, and begin with a letter."
  }
}

variable "schedule" {
  type        = string
  description = "When to sweep: a rate or cron expression of EventBridge Scheduler, in UTC."
  default     = "rate(15 minutes)"

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.schedule))
    error_message = "schedule must be rate(...) or cron(...)."
  }
}

variable "enabled" {
  type        = bool
  description = "False keeps the schedule but stops it: during an incident, say."
  default     = true
}

variable "arguments" {
  type        = list(string)
  description = "Arguments of `analysis-worker sweep`."
  default     = []
}

variable "container_definition" {
  type        = any
  description = "The worker's container definition, from the service module."

  validation {
    condition     = can(var.container_definition.image) && can(var.container_definition.environment)
    error_message = "container_definition must be the service module's output of that name."
  }
}

variable "cpu_architecture" {
  type        = string
  description = "X86_64 or ARM64: as the image was built."
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be X86_64 or ARM64."
  }
}

variable "cluster_arn" {
  type        = string
  description = "Cluster to run in."

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/.+$", var.cluster_arn))
    error_message = "cluster_arn must be an ECS cluster's ARN."
  }
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets, as the workers'."
}

variable "security_group_id" {
  type        = string
  description = "Security group, as the workers'."
}

variable "task_role_arn" {
  type        = string
  description = "Role of the sweep."
}

variable "execution_role_arn" {
  type        = string
  description = "Role that ECS pulls the image and writes logs with."
}

variable "permissions_boundary_arn" {
  type        = string
  description = "Permissions boundary for the scheduler's role, where an organisation asks for one."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
