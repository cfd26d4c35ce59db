output "target_backlog_per_task" {
  description = "Jobs per task that the policy aims at."
  value       = local.target
}

output "backlog_per_task_expression" {
  description = "The metric math of the measure, for a dashboard."
  value       = local.per_task_expression
}
