# Workers on EC2 instead of Fargate: for those who have instances to use up, or want Spot's whole
# choice. The same queues, buckets, policies and image; a systemd unit runs the container, and a
# lifecycle hook gives it time to drain.

provider "aws" {
  region = var.region
}

################################################################################
# What is the same as on Fargate
################################################################################

module "network" {
  source = "../../modules/network"

  name               = var.name
  availability_zones = var.availability_zones
}

module "queues" {
  source = "../../modules/queues"

  name = "${var.name}-jobs"
}

module "storage" {
  source = "../../modules/storage"

  name = var.name
}

module "iam" {
  source = "../../modules/iam"

  name                   = var.name
  worker_service         = "ec2.amazonaws.com"
  work_queue_arns        = module.queues.work_queue_arns
  dead_letter_queue_arns = module.queues.dead_letter_queue_arns
  inputs                 = [for kind in ["uploads", "references"] : { bucket_arn = module.storage.bucket_arns[kind] }]
  results                = { bucket_arn = module.storage.bucket_arns["results"] }
  webhook_secret_arn     = var.webhook_secret_arn
  log_group_arns         = [aws_cloudwatch_log_group.this.arn]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/worker"
  retention_in_days = 30
}

################################################################################
# What the instance itself may do, beside the worker's own policy
################################################################################

locals {
  group = "${var.name}-workers"
  hook  = "drain"
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

resource "aws_iam_role_policy" "instance" {
  name = "instance"
  role = module.iam.worker_role_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LogInToEcr"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = "*"
      },
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = var.repository_arn
      },
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
      {
        Sid      = "SayThatItDrained"
        Effect   = "Allow"
        Action   = ["autoscaling:CompleteLifecycleAction"]
        Resource = "arn:${data.aws_partition.this.partition}:autoscaling:${var.region}:${data.aws_caller_identity.this.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.group}"
      },
    ]
  })
}

resource "aws_iam_instance_profile" "this" {
  name = "${var.name}-worker"
  role = module.iam.worker_role_name
}

################################################################################
# Instances
################################################################################

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-worker-"
  description = "Workers: they call, nobody calls them"
  vpc_id      = module.network.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "AWS endpoints and webhooks"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_launch_template" "this" {
  name          = local.group
  image_id      = data.aws_ssm_parameter.image.value
  instance_type = var.instance_types[0]

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }
  vpc_security_group_ids = [aws_security_group.this.id]

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # the container uses the host's network: one hop is enough
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = 16
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  user_data = base64encode(templatefile("${path.module}/files/user_data.sh.tftpl", {
    image        = var.image
    log_group    = aws_cloudwatch_log_group.this.name
    region       = var.region
    group        = local.group
    hook         = local.hook
    worker_unit  = filebase64("${path.module}/files/analysis-worker.service")
    watch_unit   = filebase64("${path.module}/files/drain-watch.service")
    watch_script = filebase64("${path.module}/files/drain-watch.sh")
    settings = merge(
      {
        AWS_REGION              = var.region
        WORKER_QUEUE_URL        = join(",", module.queues.work_queue_urls)
        WORKER_DEFAULT_BUCKET   = module.storage.bucket_names["uploads"]
        WORKER_REFERENCE_PREFIX = "s3://${module.storage.bucket_names["references"]}/"
        WORKER_RESULTS_BUCKET   = module.storage.bucket_names["results"]
        WORKER_METRICS_EMF      = "true"
      },
      var.webhook_secret_arn == null ? {} : { WORKER_WEBHOOK_SECRET = var.webhook_secret_arn },
    )
  }))
}

resource "aws_autoscaling_group" "this" {
  name                = local.group
  min_size            = var.min_instances
  max_size            = var.max_instances
  vpc_zone_identifier = module.network.private_subnet_ids
  health_check_type   = "EC2"
  capacity_rebalance  = true # a Spot instance at risk is replaced before it is taken
  enabled_metrics     = ["GroupInServiceInstances"]

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 1
      on_demand_percentage_above_base_capacity = 25
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this.id
        version            = aws_launch_template.this.latest_version
      }
      dynamic "override" {
        for_each = var.instance_types
        content {
          instance_type = override.value
        }
      }
    }
  }

  # With the group, not beside it: the first instance already has its hook.
  initial_lifecycle_hook {
    name                 = local.hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    heartbeat_timeout    = 180 # 120 s of draining, and the watcher's five
    default_result       = "CONTINUE"
  }

  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
    }
  }

  tag {
    key                 = "Name"
    value               = local.group
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }

  depends_on = [aws_iam_role_policy.instance] # else the first instance may not pull its image
}

################################################################################
# How many: the same measure as on Fargate, per instance
################################################################################

locals {
  metrics = {
    waiting  = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = module.queues.work_queue_names[0] } }
    inflight = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesNotVisible", dimensions = { QueueName = module.queues.work_queue_names[0] } }
    running  = { namespace = "AWS/AutoScaling", name = "GroupInServiceInstances", dimensions = { AutoScalingGroupName = local.group } }
  }

  # As in modules/autoscaling, which says why: late numbers are repeated, and no more in flight
  # counts than the slots have in hand.
  filled  = { for id in keys(local.metrics) : id => "FILL(FILL(${id}, REPEAT), 0)" }
  held    = "${2 * var.slots_per_instance} * ${local.filled.running}"
  in_hand = "IF(${local.filled.inflight} > ${local.held}, ${local.held}, ${local.filled.inflight})"
}

resource "aws_autoscaling_policy" "backlog" {
  name                   = "${local.group}-backlog-per-instance"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = floor(var.slots_per_instance * var.acceptable_wait_s / var.job_seconds)

    customized_metric_specification {
      dynamic "metrics" {
        for_each = local.metrics
        content {
          id          = metrics.key
          return_data = false
          metric_stat {
            stat = "Average"
            metric {
              namespace   = metrics.value.namespace
              metric_name = metrics.value.name
              dynamic "dimensions" {
                for_each = metrics.value.dimensions
                content {
                  name  = dimensions.key
                  value = dimensions.value
                }
              }
            }
          }
        }
      }
      metrics {
        id          = "per_instance"
        label       = "Jobs waiting or in hand per instance"
        expression  = "(${local.filled.waiting} + ${local.in_hand}) / IF(${local.filled.running} < 1, 1, ${local.filled.running})"
        return_data = true
      }
    }
  }
}
