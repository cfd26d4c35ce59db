variable "primary" {
  type = object({
    region             = string
    name               = string
    availability_zones = list(string)
    min_tasks          = optional(number, 1)
  })
  description = "The region that producers send to while all is well."
}

variable "secondary" {
  type = object({
    region             = string
    name               = string
    availability_zones = list(string)
    min_tasks          = optional(number, 0)
  })
  description = "The region that takes over. min_tasks 0: it sleeps, and its first job waits some minutes; 1: it answers at once."

  validation {
    condition     = var.secondary.region != var.primary.region && var.secondary.name != var.primary.name
    error_message = "secondary must be another region, and another name: roles are the account's, not a region's."
  }
  validation {
    condition     = !startswith(var.secondary.name, var.primary.name)
    error_message = "secondary.name must not begin with primary.name: image replication goes by prefix and would take its repository along."
  }
}

variable "image_tag" {
  type        = string
  description = "Tag of the image, pushed to the primary's repository."
}

variable "max_tasks" {
  type        = number
  description = "Most tasks in each region."
  default     = 20
}

variable "alarm_emails" {
  type        = list(string)
  description = "Addresses that get the alarms of both."
  default     = []
}
