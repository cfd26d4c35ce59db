variable "name" {
  type        = string
  description = "Name of the VPC, and start of the names of what is in it."

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,40}$", var.name))
    error_message = "name must be 1 to 40 of A-Z, a-z, 0-9 and -."
  }
}

variable "cidr_block" {
  type        = string
  description = "Addresses of the VPC: a /16 gives each zone 4,091 tasks."
  default     = "10.60.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr_block, 0)) && try(tonumber(split("/", var.cidr_block)[1]) >= 16 && tonumber(split("/", var.cidr_block)[1]) <= 20, false)
    error_message = "cidr_block must be an IPv4 CIDR between /16 (VPC's limit) and /20: a public subnet is a 256th of it and AWS makes none smaller than /28."
  }
}

variable "availability_zones" {
  type        = list(string)
  description = "Zones to use. Named, not looked up, so that a plan never changes by itself."

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 6 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones must be two to six different zones: one zone's outage must not stop the fleet."
  }
}

variable "nat_gateway_per_zone" {
  type        = bool
  description = "A NAT gateway in each zone (its outage then stops webhooks from that zone only) or one for all (cheaper; webhooks are retried while it is down)."
  default     = false
}

variable "interface_endpoints" {
  type        = list(string)
  description = "Services reached through interface endpoints. Each is billed per zone and hour; an empty list sends them through NAT."
  default     = ["sqs", "ecr.api", "ecr.dkr", "logs", "secretsmanager"]

  validation {
    condition     = !contains(var.interface_endpoints, "s3") && length(distinct(var.interface_endpoints)) == length(var.interface_endpoints)
    error_message = "interface_endpoints must be different services and not s3, which has its free gateway endpoint."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource."
  default     = {}
}
