################################################################################
# Who is told
################################################################################

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn # must let cloudwatch.amazonaws.com use it
  tags              = var.tags
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["sns:Publish"]
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
      },
      {
        Sid       = "DenyPlaintext"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["sns:Publish"]
        Resource  = aws_sns_topic.alarms.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.alarm_emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

################################################################################
# Numbers from the log
################################################################################

locals {
  # The worker adds its numbers up and logs them once a minute (Embedded Metric Format). CloudWatch
  # makes metrics of those by itself, for all fleets of an account together; these filters take
  # the same numbers out of this fleet's own log, so that staging never alarms for production.
  namespace = "AnalysisWorker/${var.name}"

  # A message that is handed back or tried again is not settled for good.
  log_metrics = {
    JobsCompleted    = { pattern = "{ ($.JobsSettled > 0) && ($.Outcome = \"completed\") }", value = "$.JobsSettled" }
    JobsDeadLettered = { pattern = "{ ($.JobsSettled > 0) && ($.Outcome = \"dead_lettered\") }", value = "$.JobsSettled" }
    JobsRetried      = { pattern = "{ ($.JobsSettled > 0) && ($.Outcome = \"retried\") }", value = "$.JobsSettled" }
    JobsCrashed      = { pattern = "{ ($.JobsSettled > 0) && (($.Code = \"worker_lost\") || ($.Code = \"timeout\")) }", value = "$.JobsSettled" }
    LeasesLost       = { pattern = "{ $.LeasesLost > 0 }", value = "$.LeasesLost" }
    WebhookAttempts  = { pattern = "{ $.WebhookAttempts > 0 }", value = "$.WebhookAttempts" }
    WebhookFailures  = { pattern = "{ ($.WebhookAttempts > 0) && ($.StatusClass != \"2xx\") }", value = "$.WebhookAttempts" }
    ErrorLines       = { pattern = "{ ($.level = \"error\") || ($.level = \"critical\") }", value = "1" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.log_metrics

  name           = "${var.name}-${each.key}"
  log_group_name = var.log_group_name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.namespace
    name      = each.key
    value     = each.value.value
    unit      = "Count"
  }
}

################################################################################
# Alarms on one metric
################################################################################

locals {
  see = var.runbook_url == null ? "" : " ${var.runbook_url}"

  queue_alarms = merge(
    { for name in var.dead_letter_queue_names : "${name}-not-empty" => {
      description = "Something is in ${name}. Look: analysis-worker dlq list."
      queue       = name, metric = "ApproximateNumberOfMessagesVisible", threshold = 0, periods = 1
    } },
    { for name in var.dead_letter_queue_names : "${name}-filling" => {
      description = "More than ${var.dead_letter_threshold} in ${name}: not one bad job but a fault. Look: analysis-worker dlq list."
      queue       = name, metric = "ApproximateNumberOfMessagesVisible", threshold = var.dead_letter_threshold, periods = 1
    } },
    { for name in var.work_queue_names : "${name}-old" => {
      description = "The oldest job in ${name} is more than ${var.oldest_message_threshold_s} s old: too few workers, or none that gets on. Look: analysis-worker status."
      queue       = name, metric = "ApproximateAgeOfOldestMessage", threshold = var.oldest_message_threshold_s, periods = 5
    } },
  )

  log_alarms = {
    leases-lost = {
      description = "Workers lose the jobs they hold: event loops stall, SQS is not reached, or the visibility timeout is too short."
      metric      = "LeasesLost", threshold = var.leases_lost_threshold
    }
    error-lines = {
      description = "Workers log errors. Look: the log, level error."
      metric      = "ErrorLines", threshold = var.error_lines_threshold
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each = local.queue_alarms

  alarm_name          = each.key
  alarm_description   = "${each.value.description}${local.see}"
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = each.value.periods
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching" # SQS sends nothing for a queue that nobody touched for hours
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "log" {
  for_each = local.log_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.description}${local.see}"
  namespace           = local.namespace
  metric_name         = each.value.metric
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags

  depends_on = [aws_cloudwatch_log_metric_filter.this]
}

################################################################################
# Alarms on rates: a share of few is no rate, hence the least number in each
################################################################################

locals {
  rate_alarms = {
    error-rate = {
      description = "More than ${var.error_rate_percent} % of the jobs end as dead letters. Look: analysis-worker dlq list."
      part        = "JobsDeadLettered"
      whole       = ["JobsCompleted", "JobsDeadLettered"]
      percent     = var.error_rate_percent
      at_least    = 20
    }
    crash-rate = {
      description = "More than ${var.crash_rate_percent} % of the jobs lose or block their analysis process: a recording that crashes the decoder, or too little memory."
      part        = "JobsCrashed"
      whole       = ["JobsCompleted", "JobsDeadLettered", "JobsRetried"]
      percent     = var.crash_rate_percent
      at_least    = 20
    }
    delivery-failures = {
      description = "More than ${var.delivery_failure_percent} % of the webhook attempts fail: a consumer is down, or refuses us."
      part        = "WebhookFailures"
      whole       = ["WebhookAttempts"]
      percent     = var.delivery_failure_percent
      at_least    = 20
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "rate" {
  for_each = local.rate_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.description}${local.see}"
  evaluation_periods  = 3
  datapoints_to_alarm = 2 # the newest five minutes are not all in yet
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.percent
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags

  dynamic "metric_query" {
    for_each = distinct(concat([each.value.part], each.value.whole))
    content {
      id = lower(metric_query.value)
      metric {
        namespace   = local.namespace
        metric_name = metric_query.value
        period      = 300
        stat        = "Sum"
      }
    }
  }

  metric_query {
    id          = "whole"
    expression  = join(" + ", [for name in each.value.whole : "FILL(${lower(name)}, 0)"])
    return_data = false
  }

  metric_query {
    id          = "percent"
    label       = "${each.key}, %"
    expression  = "IF(whole >= ${each.value.at_least}, 100 * FILL(${lower(each.value.part)}, 0) / whole, 0)"
    return_data = true
  }

  depends_on = [aws_cloudwatch_log_metric_filter.this]
}

################################################################################
# Jobs wait and nobody is there
################################################################################

locals {
  # The newest minute has no number yet. FILL(…, 0) would say of it that nothing waits, and the
  # alarm would never come; so a gap repeats the value before it, and is zero where there is none.
  waiting = join(" + ", [for index in range(length(var.work_queue_names)) : "FILL(FILL(waiting${index}, REPEAT), 0)"])
}

resource "aws_cloudwatch_metric_alarm" "no_running_task" {
  alarm_name          = "${var.name}-no-running-task"
  alarm_description   = "Jobs wait and no task runs: a bad image, no Fargate capacity, a used-up quota. Look: the service's events in ECS.${local.see}"
  evaluation_periods  = 6
  datapoints_to_alarm = 5 # a fleet that sleeps needs two minutes or three to wake up
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags

  dynamic "metric_query" {
    for_each = { for index, name in var.work_queue_names : "waiting${index}" => name }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SQS"
        metric_name = "ApproximateNumberOfMessagesVisible"
        dimensions  = { QueueName = metric_query.value }
        period      = 60
        stat        = "Maximum"
      }
    }
  }

  metric_query {
    id = "running"
    metric {
      namespace   = "ECS/ContainerInsights"
      metric_name = "RunningTaskCount"
      dimensions  = { ClusterName = var.cluster_name, ServiceName = var.service_name }
      period      = 60
      stat        = "Average"
    }
  }

  metric_query {
    id          = "abandoned"
    label       = "Jobs waiting while no task runs"
    expression  = "IF(FILL(FILL(running, REPEAT), 0) < 1, ${local.waiting}, 0)"
    return_data = true
  }
}

################################################################################
# Dashboard
################################################################################

locals {
  region = data.aws_region.this.region

  # title, [metrics], and what differs from a line chart of sums in a minute
  charts = [
    {
      title   = "Jobs waiting and in flight"
      metrics = flatten([for name in var.work_queue_names : [for metric in ["Visible", "NotVisible"] : { row = ["AWS/SQS", "ApproximateNumberOfMessages${metric}", "QueueName", name] }]])
      stat    = "Maximum"
    },
    {
      title   = "Age of the oldest job (s)"
      metrics = [for name in var.work_queue_names : { row = ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name] }]
      stat    = "Maximum"
    },
    {
      title   = "Dead letters"
      metrics = [for name in var.dead_letter_queue_names : { row = ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name] }]
      stat    = "Maximum"
    },
    {
      title   = "Tasks"
      metrics = [for metric in ["RunningTaskCount", "DesiredTaskCount", "PendingTaskCount"] : { row = ["ECS/ContainerInsights", metric, "ClusterName", var.cluster_name, "ServiceName", var.service_name] }]
      stat    = "Average"
    },
    {
      title   = "Jobs settled a minute"
      metrics = [for metric in ["JobsCompleted", "JobsRetried", "JobsDeadLettered", "JobsCrashed"] : { row = [local.namespace, metric] }]
      stat    = "Sum"
    },
    {
      title   = "Webhook attempts a minute"
      metrics = [for metric in ["WebhookAttempts", "WebhookFailures"] : { row = [local.namespace, metric] }]
      stat    = "Sum"
    },
    {
      title   = "Stage durations, p95 (s; all fleets of the account)"
      metrics = [for stage in ["wait", "fetch", "decode", "align", "pitch", "score", "deliver", "total"] : { row = ["AnalysisWorker", "StageDuration", "Stage", stage] }]
      stat    = "p95"
    },
    {
      title   = "CPU and memory used (%)"
      metrics = [for metric in ["CPUUtilization", "MemoryUtilization"] : { row = ["AWS/ECS", metric, "ClusterName", var.cluster_name, "ServiceName", var.service_name] }]
      stat    = "Average"
    },
    {
      title   = "Lost leases and error lines"
      metrics = [for metric in ["LeasesLost", "ErrorLines"] : { row = [local.namespace, metric] }]
      stat    = "Sum"
    },
  ]

  alarm_arns = concat(
    [for alarm in aws_cloudwatch_metric_alarm.queue : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.log : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.rate : alarm.arn],
    [aws_cloudwatch_metric_alarm.no_running_task.arn],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 3
        properties = { title = "Alarms", alarms = local.alarm_arns }
      }],
      [for index, chart in local.charts : {
        type   = "metric"
        x      = 8 * (index % 3)
        y      = 3 + 6 * floor(index / 3)
        width  = 8
        height = 6
        properties = {
          title   = chart.title
          region  = local.region
          view    = "timeSeries"
          stat    = chart.stat
          period  = 60
          metrics = [for metric in chart.metrics : metric.row]
          yAxis   = { left = { min = 0 } }
        }
      }],
      [{
        type   = "log"
        x      = 0
        y      = 3 + 6 * ceil(length(local.charts) / 3)
        width  = 24
        height = 6
        properties = {
          title  = "Latest warnings and errors"
          region = local.region
          view   = "table"
          query  = "SOURCE '${var.log_group_name}' | fields @timestamp, level, event, job_id, code, reason | filter level in ['warning', 'error', 'critical'] | sort @timestamp desc | limit 50"
        }
      }],
    )
  })
}
