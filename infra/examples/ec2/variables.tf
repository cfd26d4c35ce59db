variable "region" {
  type        = string
  description = "AWS region."
}

variable "name" {
  type        = string
  description = "Name of the fleet."
  default     = "speech-ec2"
}

variable "availability_zones" {
  type        = list(string)
  description = "Zones of that region, two or more."
}

variable "image" {
  type        = string
  description = "Image to run, in full, with a fixed tag or digest."

  validation {
    condition     = can(regex("(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must end with a fixed tag or a digest: instances that start on different days must run the same."
  }
}

variable "repository_arn" {
  type        = string
  description = "ECR repository of the image."
}

variable "webhook_secret_arn" {
  type        = string
  description = "Secret with the webhook keys, or null: unsigned."
  default     = null
}

variable "instance_types" {
  type        = list(string)
  description = "Instance types of one size: several, so that Spot has a choice."
  default     = ["c7i.xlarge", "c6i.xlarge", "c7a.xlarge", "m7i.xlarge"]

  validation {
    condition     = length(var.instance_types) >= 1 && length(distinct([for type in var.instance_types : split(".", type)[1]])) == 1
    error_message = "instance_types must be of one size: the target is jobs per instance."
  }
}

variable "slots_per_instance" {
  type        = number
  description = "vCPUs of that size: a worker takes one slot for each."
  default     = 4
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

variable "min_instances" {
  type        = number
  description = "Fewest instances."
  default     = 1
}

variable "max_instances" {
  type        = number
  description = "Most instances."
  default     = 10

  validation {
    condition     = var.max_instances >= var.min_instances
    error_message = "max_instances must be at least min_instances."
  }
}
