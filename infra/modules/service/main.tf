################################################################################
# Image repository
################################################################################

resource "aws_ecr_repository" "this" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE" # a roll-back finds the very image that ran before
  force_delete         = var.force_delete_images

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }

  tags = var.tags
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Layers that no tag names are left-overs of pushes"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Keep enough images to roll back to"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.images_kept }
        action       = { type = "expire" }
      },
    ]
  })
}

################################################################################
# Logs
################################################################################

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/worker"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

################################################################################
# Cluster
################################################################################

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights" # RunningTaskCount: autoscaling and an alarm need it
    value = "enabled"
  }

  tags = var.tags
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

################################################################################
# Task
################################################################################

data "aws_region" "this" {}

locals {
  container_name = "worker"
  image          = var.image != null ? var.image : join(":", compact([aws_ecr_repository.this.repository_url, var.image_tag]))

  # Rendered in the order of their names, so that a plan shows only what changed.
  environment = merge(
    {
      AWS_REGION                  = data.aws_region.this.region
      WORKER_QUEUE_URL            = join(",", var.queue_urls)
      WORKER_CONCURRENCY          = tostring(var.slots_per_task)
      WORKER_CHILD_MAX_MB         = tostring(var.child_max_mb)
      WORKER_VISIBILITY_TIMEOUT_S = tostring(var.visibility_timeout_s)
      WORKER_WAIT_TIME_S          = tostring(var.wait_time_s)
      WORKER_SHUTDOWN_GRACE_S     = tostring(var.shutdown_grace_s)
      WORKER_HEALTH_PORT          = tostring(var.health_port)
      WORKER_METRICS_EMF          = "true"
      WORKER_LOG_FORMAT           = "json"
    },
    # The ARN, not the value: the worker reads the secret at start and again when it is rotated.
    var.webhook_secret_arn == null ? {} : { WORKER_WEBHOOK_SECRET = var.webhook_secret_arn },
    var.environment,
  )

  container = {
    name      = local.container_name
    image     = local.image
    essential = true
    command   = ["run"]

    user                   = "${var.container_uid}:${var.container_uid}"
    readonlyRootFilesystem = true
    privileged             = false
    linuxParameters = {
      initProcessEnabled = true # reaps what a killed analysis process leaves, passes SIGTERM on
      capabilities       = { drop = ["ALL"] }
      tmpfs              = [{ containerPath = "/tmp", size = var.tmpfs_mib, mountOptions = ["nosuid", "nodev", "noexec"] }] # of itself for everyone to write to
    }

    environment  = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    portMappings = var.health_port == 0 ? [] : [{ containerPort = var.health_port, protocol = "tcp" }]

    stopTimeout = var.stop_timeout_s
    healthCheck = {
      command = [
        "CMD", "python", "-c",
        "import urllib.request as u; u.urlopen('http://127.0.0.1:${var.health_port}/livez', timeout=4)",
      ]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 60 # models are read and the analysis processes warmed up
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = data.aws_region.this.region
        "awslogs-stream-prefix" = "worker"
        "mode"                  = "non-blocking" # a slow log service must not stop jobs
        "max-buffer-size"       = "16m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.task_cpu)
  memory                   = tostring(var.task_memory_mib)
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.execution_role_arn
  container_definitions    = jsonencode([local.container])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  tags = var.tags
}

################################################################################
# Network: out to AWS and to webhooks, nothing in
################################################################################

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-worker-"
  description = "Workers: they call, nobody calls them"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-worker" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "AWS endpoints and webhooks; which hosts a webhook may name is the worker's own guard"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "webhook_ports" {
  for_each = toset([for port in var.webhook_ports : tostring(port) if port != 443])

  security_group_id = aws_security_group.this.id
  description       = "Webhooks on port ${each.key}"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

resource "aws_vpc_security_group_ingress_rule" "metrics" {
  for_each = var.metrics_scrapers

  security_group_id            = aws_security_group.this.id
  description                  = "Prometheus reads /metrics: ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = var.health_port
  to_port                      = var.health_port
}

################################################################################
# Service
################################################################################

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = var.initial_tasks

  # Else ECS refuses another strategy. It replaces tasks when the service changes, at an apply that
  # changes nothing of it never.
  force_new_deployment = true

  dynamic "capacity_provider_strategy" {
    for_each = { for name, weight in { FARGATE = var.fargate_weight, FARGATE_SPOT = var.fargate_spot_weight } : name => weight if weight > 0 || (name == "FARGATE" && var.fargate_base > 0) }
    content {
      capacity_provider = capacity_provider_strategy.key
      weight            = capacity_provider_strategy.value
      base              = capacity_provider_strategy.key == "FARGATE" ? var.fargate_base : 0
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  # New tasks come up before old ones drain: the queue never goes without workers.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"
  tags                    = var.tags

  lifecycle {
    ignore_changes = [desired_count] # autoscaling's
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}
