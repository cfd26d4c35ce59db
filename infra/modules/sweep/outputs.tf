output "schedule_name" {
  description = "Name of the schedule."
  value       = aws_scheduler_schedule.this.name
}

output "task_definition_family" {
  description = "Task family, to start a sweep by hand: aws ecs run-task --task-definition FAMILY."
  value       = aws_ecs_task_definition.this.family
}
