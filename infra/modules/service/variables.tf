variable "name" {
  type        = string
  description = "Name of the cluster, the service, the task family and the image repository."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,49}$", var.name))
    error_message = "name must be 2 to 50 of a-z, 0-9 and -, and begin with a letter: ECR takes lower case only."
  }
}

# --- where it runs

variable "vpc_id" {
  type        = string
  description = "VPC of the tasks."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets of the tasks, with a way out to the webhooks' hosts (NAT)."

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name two subnets or more, in different zones: one zone's outage must not stop the fleet."
  }
}

variable "webhook_ports" {
  type        = list(number)
  description = "Ports that webhooks may go to. 443 is always open: AWS's own endpoints use it."
  default     = [443]

  validation {
    condition     = alltrue([for port in var.webhook_ports : port >= 1 && port <= 65535 && floor(port) == port])
    error_message = "webhook_ports must be port numbers, 1 to 65535."
  }
}

variable "metrics_scrapers" {
  type        = map(string)
  description = "Security groups that may read the health port, by a name of your choice; empty: nobody from outside the task."
  default     = {}
}

# --- what it runs

variable "image" {
  type        = string
  description = "Image to run, in full; null: image_tag from the repository made here."
  default     = null
}

variable "image_tag" {
  type        = string
  description = "Tag in the repository made here."
  default     = null

  validation {
    condition     = (var.image_tag == null) != (var.image == null)
    error_message = "Set exactly one of image and image_tag."
  }
  validation {
    condition     = var.image_tag == null || try(can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest", false)
    error_message = "image_tag must be a fixed tag, such as a version or a commit: latest says nothing about what runs, and the repository's tags are immutable."
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

variable "container_uid" {
  type        = number
  description = "User and group that the container runs as; the image's own."
  default     = 10001

  validation {
    condition     = var.container_uid > 0
    error_message = "container_uid must not be 0: the worker needs no root."
  }
}

variable "task_role_arn" {
  type        = string
  description = "Role of the worker."
}

variable "execution_role_arn" {
  type        = string
  description = "Role that ECS pulls the image and writes logs with."
}

# --- how large a task is

variable "slots_per_task" {
  type        = number
  description = "Analysis processes in a task: one for each vCPU (WORKER_CONCURRENCY)."
  default     = 2

  validation {
    condition     = var.slots_per_task >= 1 && floor(var.slots_per_task) == var.slots_per_task && var.slots_per_task * 1024 <= var.task_cpu
    error_message = "slots_per_task must be a whole number of at least 1 and at most one per vCPU (1024 of task_cpu): analysis computes all the time, two on one vCPU take twice as long."
  }
}

variable "child_max_mb" {
  type        = number
  description = "Memory at which an analysis process is replaced (WORKER_CHILD_MAX_MB)."
  default     = 1024

  validation {
    condition     = var.child_max_mb >= 512
    error_message = "child_max_mb must be 512 or more: an analysis process needs about 350 MB at rest."
  }
}

variable "task_cpu" {
  type        = number
  description = "CPU units of a task: 1024 is a vCPU."
  default     = 2048

  validation {
    condition     = contains([1024, 2048, 4096, 8192, 16384], var.task_cpu)
    error_message = "task_cpu must be 1024, 2048, 4096, 8192 or 16384: Fargate's sizes from one vCPU up."
  }
}

variable "task_memory_mib" {
  type        = number
  description = "Memory of a task. Must hold every analysis process at its largest, the I/O process and the tmpfs."
  default     = 4096

  validation {
    condition     = var.task_memory_mib >= var.slots_per_task * var.child_max_mb + var.tmpfs_mib + 512
    error_message = "task_memory_mib must be at least slots_per_task x child_max_mb + tmpfs_mib + 512 (the I/O process and reserve), or the kernel kills a process that the worker would have replaced."
  }
  validation {
    # Fargate's sizes (Amazon ECS Developer Guide, "Fargate task CPU and memory"): least, most, step.
    condition = try(contains({
      1024  = range(2, 9)
      2048  = range(4, 17)
      4096  = range(8, 31)
      8192  = range(16, 61, 4)
      16384 = range(32, 121, 8)
    }[var.task_cpu], var.task_memory_mib / 1024), false)
    error_message = "task_memory_mib must be what Fargate offers: 2 to 8 GiB for 1 vCPU, 4 to 16 for 2, 8 to 30 for 4, 16 to 60 in steps of 4 for 8, 32 to 120 in steps of 8 for 16."
  }
}

variable "tmpfs_mib" {
  type        = number
  description = "Size of /tmp, in memory; the root file system is read-only."
  default     = 256

  validation {
    condition     = var.tmpfs_mib >= 64
    error_message = "tmpfs_mib must be 64 or more."
  }
}

# --- what it is told

variable "queue_urls" {
  type        = list(string)
  description = "Work queues, highest priority first (WORKER_QUEUE_URL)."

  validation {
    condition     = length(var.queue_urls) > 0
    error_message = "queue_urls must name at least one queue."
  }
}

variable "visibility_timeout_s" {
  type        = number
  description = "WORKER_VISIBILITY_TIMEOUT_S: the queue's visibility timeout."
  default     = 60
}

variable "wait_time_s" {
  type        = number
  description = "WORKER_WAIT_TIME_S: the long poll."
  default     = 20
}

variable "shutdown_grace_s" {
  type        = number
  description = "WORKER_SHUTDOWN_GRACE_S: how long started jobs may go on after SIGTERM."
  default     = 90
}

variable "stop_timeout_s" {
  type        = number
  description = "What ECS waits between SIGTERM and SIGKILL; 120 s is Fargate's limit."
  default     = 120

  validation {
    condition     = var.stop_timeout_s <= 120 && var.wait_time_s + var.shutdown_grace_s < var.stop_timeout_s
    error_message = "stop_timeout_s must be at most 120 (Fargate's limit) and above wait_time_s + shutdown_grace_s: a stop finishes the running long poll, then the started jobs."
  }
}

variable "health_port" {
  type        = number
  description = "WORKER_HEALTH_PORT: /livez, /readyz and /metrics."
  default     = 8080

  validation {
    condition     = var.health_port >= 1024 && var.health_port <= 65535
    error_message = "health_port must be 1024 to 65535: the health check needs it, and the container is not root."
  }
}

variable "webhook_secret_arn" {
  type        = string
  description = "ARN of the secret with the webhook keys (WORKER_WEBHOOK_SECRET), or null: unsigned."
  default     = null
}

variable "environment" {
  type        = map(string)
  description = "Further WORKER_ settings, such as WORKER_RESULTS_BUCKET. They win over those made here."
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.environment : !strcontains(value, "whsec_")])
    error_message = "environment must hold no webhook key: anyone who may describe the task reads it. Put it in the secret and pass webhook_secret_arn."
  }
}

# --- how many, and of which kind

variable "initial_tasks" {
  type        = number
  description = "Tasks at the first apply; autoscaling's business from then on."
  default     = 1
}

variable "fargate_base" {
  type        = number
  description = "Tasks that always run on Fargate proper, so that a shortage of Spot never stops the fleet."
  default     = 1
}

variable "fargate_weight" {
  type        = number
  description = "Share of further tasks on Fargate proper."
  default     = 1

  validation {
    condition     = var.fargate_weight > 0 || var.fargate_base == 0
    error_message = "fargate_weight must be 1 or more while fargate_base is: ECS places no task by a capacity provider of weight 0."
  }
}

variable "fargate_spot_weight" {
  type        = number
  description = "Share of further tasks on Fargate Spot: about 70 % cheaper, and taken away with two minutes' notice, which the worker drains in."
  default     = 3

  validation {
    condition     = var.fargate_spot_weight >= 0 && var.fargate_weight >= 0 && var.fargate_weight + var.fargate_spot_weight > 0
    error_message = "fargate_weight and fargate_spot_weight must not be negative, and not both 0."
  }
}

# --- what is kept

variable "images_kept" {
  type        = number
  description = "Images kept in the repository."
  default     = 30

  validation {
    condition     = var.images_kept >= 5
    error_message = "images_kept must be 5 or more: something to roll back to."
  }
}

variable "force_delete_images" {
  type        = bool
  description = "Let terraform destroy delete a repository that still holds images. For throw-away environments."
  default     = false
}

variable "log_retention_days" {
  type        = number
  description = "How long logs are kept."
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a period that CloudWatch Logs offers, such as 14, 30 or 90."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key for images and logs; null: AWS's own. The key's policy must let CloudWatch Logs use it."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource, and for the tasks."
  default     = {}
}
