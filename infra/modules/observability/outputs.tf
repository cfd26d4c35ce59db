output "topic_arn" {
  description = "Topic of the alarms, to subscribe a pager or a chat to."
  value       = aws_sns_topic.alarms.arn
}

output "alarm_names" {
  description = "Names of all alarms."
  value = concat(
    [for alarm in aws_cloudwatch_metric_alarm.queue : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.log : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.rate : alarm.alarm_name],
    [aws_cloudwatch_metric_alarm.no_running_task.alarm_name],
  )
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "metric_namespace" {
  description = "Namespace of this fleet's own metrics."
  value       = local.namespace
}
