################################################################################
# The measure: jobs per running task
################################################################################

locals {
  # A task works off slots / job_seconds jobs a second. With this many jobs before
  # it, the last of them has waited acceptable_wait_s when its turn comes.
  target = coalesce(var.target_backlog_per_task, floor(var.slots_per_task * var.acceptable_wait_s / var.job_seconds))

  queues = { for index, name in var.queue_names : tostring(index) => name }

  # Waiting and in flight: a fleet whose queue has just run dry is still at work, and
  # taking tasks away for an empty queue would send their jobs round again.
  metrics = flatten([for index, name in local.queues : [
    { id = "waiting${index}", namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = name } },
    { id = "inflight${index}", namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesNotVisible", dimensions = { QueueName = name } },
  ]])

  backlog_expression = join(" + ", [for metric in local.metrics : "FILL(${metric.id}, 0)"])

  # FILL(…, REPEAT): Container Insights may lag behind SQS by a minute or two, and a gap read as
  # "no task" would look like a backlog many times its size. IF(… < 1, 1, …): the guard for
  # zero tasks, where the measure is the backlog itself.
  tasks_expression    = "FILL(running, REPEAT)"
  per_task_expression = "(${local.backlog_expression}) / IF(${local.tasks_expression} < 1, 1, ${local.tasks_expression})"

  running = {
    id         = "running"
    namespace  = "ECS/ContainerInsights"
    name       = "RunningTaskCount"
    dimensions = { ClusterName = var.cluster_name, ServiceName = var.service_name }
  }
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster_name}/${var.service_name}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "backlog" {
  name               = "${var.service_name}-backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = local.target
    scale_out_cooldown = var.scale_out_cooldown_s
    scale_in_cooldown  = var.scale_in_cooldown_s

    customized_metric_specification {
      dynamic "metrics" {
        for_each = concat(local.metrics, [local.running])
        content {
          id          = metrics.value.id
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
        id          = "per_task"
        label       = "Jobs waiting or in flight per running task"
        expression  = local.per_task_expression
        return_data = true
      }
    }
  }

  lifecycle {
    precondition {
      condition     = local.target >= 4 * var.slots_per_task
      error_message = "The target is ${local.target} jobs per task, and a busy task alone holds up to two per slot (one computed, one read ahead): the fleet would never scale in. Raise acceptable_wait_s or target_backlog_per_task to 4 x slots_per_task (${4 * var.slots_per_task}) or more."
    }
  }
}

################################################################################
# Zero tasks: the first message wakes the fleet, not the target-th
################################################################################

resource "aws_appautoscaling_policy" "wake" {
  count = var.min_tasks == 0 ? 1 : 0

  name               = "${var.service_name}-wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type = "ChangeInCapacity" # added to nothing: the alarm asks for zero tasks
    cooldown        = 120                # a task needs about a minute to start and be counted
    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = var.wake_tasks
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  count = var.min_tasks == 0 ? 1 : 0

  alarm_name          = "${var.service_name}-wake"
  alarm_description   = "A message waits and no task runs: starts ${var.wake_tasks}. Not for people."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.wake[0].arn]
  tags                = var.tags

  dynamic "metric_query" {
    for_each = concat(local.metrics, [local.running])
    content {
      id = metric_query.value.id
      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        period      = 60
        stat        = "Average"
      }
    }
  }

  metric_query {
    id    = "asleep"
    label = "Messages while no task runs"
    # FILL(running, 0) here: a service that never ran has no RunningTaskCount to repeat. The price of
    # a gap read as zero is wake_tasks tasks too many, until the next scale-in.
    expression  = "IF(FILL(running, 0) < 1, ${local.backlog_expression}, 0)"
    return_data = true
  }
}

################################################################################
# A minimum by the clock, for a rush that is known to come
################################################################################

resource "aws_appautoscaling_scheduled_action" "this" {
  for_each = var.schedules

  name               = "${var.service_name}-${each.key}"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id
  schedule           = each.value.schedule
  timezone           = each.value.timezone

  scalable_target_action {
    min_capacity = each.value.min_tasks
    max_capacity = var.max_tasks
  }
}
