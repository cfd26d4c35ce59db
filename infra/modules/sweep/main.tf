################################################################################
# The worker's image with another command, run on a schedule
################################################################################

locals {
  container = merge(var.container_definition, {
    name         = "sweep"
    command      = concat(["sweep"], var.arguments)
    portMappings = []
    environment = [for setting in var.container_definition.environment : setting
      if !contains(["WORKER_HEALTH_PORT"], setting.name)
    ]
  })

  # A task that ends by itself needs no health check.
  container_without_health = { for key, value in local.container : key => value if key != "healthCheck" }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-sweep"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.execution_role_arn
  container_definitions    = jsonencode([local.container_without_health])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  tags = var.tags
}

################################################################################
# Schedule
################################################################################

resource "aws_scheduler_schedule" "this" {
  name                         = "${var.name}-sweep"
  description                  = "Answer dead letters that SQS moved by itself, deliver what lies undelivered"
  schedule_expression          = var.schedule
  schedule_expression_timezone = "UTC"
  state                        = var.enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      # Without a revision: the schedule follows each deployment by itself.
      task_definition_arn     = aws_ecs_task_definition.this.arn_without_revision
      task_count              = 1
      platform_version        = "LATEST"
      enable_ecs_managed_tags = true
      propagate_tags          = "TASK_DEFINITION"

      capacity_provider_strategy {
        capacity_provider = "FARGATE_SPOT" # a sweep that is cut short is safe to repeat
        weight            = 1
      }

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [var.security_group_id]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_retry_attempts       = 2
      maximum_event_age_in_seconds = 900
    }
  }
}

################################################################################
# What the scheduler may do
################################################################################

data "aws_caller_identity" "this" {}

resource "aws_iam_role" "scheduler" {
  name                 = "${var.name}-sweep-schedule"
  description          = "Lets EventBridge Scheduler start the sweep"
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name = "start-sweep"
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "StartSweep"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["${aws_ecs_task_definition.this.arn_without_revision}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = var.cluster_arn } }
      },
      {
        Sid       = "TagTheTaskItStarts"
        Effect    = "Allow"
        Action    = ["ecs:TagResource"]
        Resource  = ["${replace(var.cluster_arn, ":cluster/", ":task/")}/*"]
        Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
      },
      {
        Sid       = "HandOverRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [var.task_role_arn, var.execution_role_arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}
