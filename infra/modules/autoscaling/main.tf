################################################################################
# The measure: jobs per running task
################################################################################

locals {
  # A task works off slots / job_seconds jobs a second. With this many jobs before
  # it, the last of them has waited acceptable_wait_s when its turn comes.
  target = coalesce(var.target_backlog_per_task, floor(var.slots_per_task * var.acceptable_wait_s / var.job_seconds))

  # A minimum of zero at night is sleep too, whatever the minimum by day.
  sleeps = min(concat([var.min_tasks], [for s in var.schedules : s.min_tasks])...) == 0

  queues = { for index, name in var.queue_names : tostring(index) => name }

  metrics = flatten([for index, name in local.queues : [
    { id = "waiting${index}", namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = name } },
    { id = "inflight${index}", namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesNotVisible", dimensions = { QueueName = name } },
  ]])

  # SQS and Container Insights are a minute or two late, so the newest minute never has a value.
  # FILL(…, 0) would make it zero each time: no backlog, so that the fleet never grows; no task, so
  # that it is woken again and again. A gap repeats the value before it, and is zero only where
  # there is none: a queue that nobody called for hours, a service that never ran.
  filled    = { for metric in concat(local.metrics, [local.running]) : metric.id => "FILL(FILL(${metric.id}, REPEAT), 0)" }
  tasks     = local.filled["running"]
  waiting   = join(" + ", [for index in keys(local.queues) : local.filled["waiting${index}"]])
  in_flight = join(" + ", [for index in keys(local.queues) : local.filled["inflight${index}"]])

  # In flight counts, since a fleet whose queue has just run dry is still at work. But a job that
  # backs off is in flight too, up to 15 minutes each time, and so is one that waits for its
  # delivery: while a consumer is down these are thousands, and tasks do nothing for them. So no
  # more of it counts than slots have in hand: one job computed, one read ahead.
  held_per_task = 2 * var.slots_per_task
  in_hand       = "IF((${local.in_flight}) > ${local.held_per_task} * ${local.tasks}, ${local.held_per_task} * ${local.tasks}, ${local.in_flight})"

  # IF(… < 1, 1, …): the guard for zero tasks, where the measure is the backlog itself.
  per_task_expression = "(${local.waiting} + ${local.in_hand}) / IF(${local.tasks} < 1, 1, ${local.tasks})"

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

  # Said, so that an apply ends what a drain has suspended (docs/deploy.md).
  suspended_state {
    dynamic_scaling_in_suspended  = false
    dynamic_scaling_out_suspended = false
    scheduled_scaling_suspended   = false
  }
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
        label       = "Jobs waiting or in hand per running task"
        expression  = local.per_task_expression
        return_data = true
      }
    }
  }

  lifecycle {
    precondition {
      condition     = local.target >= 2 * local.held_per_task
      error_message = "The target is ${local.target} jobs per task, and a busy task alone holds up to two per slot (one computed, one read ahead): the fleet would never scale in. Raise acceptable_wait_s or target_backlog_per_task to 4 x slots_per_task (${4 * var.slots_per_task}) or more."
    }
  }
}

################################################################################
# Zero tasks: the first message wakes the fleet, not the target-th
################################################################################

resource "aws_appautoscaling_policy" "wake" {
  count = local.sleeps ? 1 : 0

  name               = "${var.service_name}-wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type = "ChangeInCapacity" # added to nothing: the alarm asks for zero tasks

    # A task needs about a minute to start, another to be counted, and the count is late: before
    # that the alarm still asks, and another task would be started for the same message.
    cooldown = 300

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = var.wake_tasks
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  count = local.sleeps ? 1 : 0

  alarm_name          = "${var.service_name}-wake"
  alarm_description   = "A message waits and no task runs: starts ${var.wake_tasks}. Not for people."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 3 # enough minutes that one of them has the number of tasks
  datapoints_to_alarm = 2 # a minute that is filled for want of a number is not enough
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
    # Waiting alone: what backs off wakes nobody until it is visible again.
    expression  = "IF(${local.tasks} < 1, ${local.waiting}, 0)"
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
