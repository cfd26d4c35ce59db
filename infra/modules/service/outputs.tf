output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "task_definition_arn" {
  description = "ARN of the task definition's present revision."
  value       = aws_ecs_task_definition.this.arn
}

output "container_definition" {
  description = "The worker's container definition, for a task of the same image with another command (the sweep)."
  value       = local.container
}

output "security_group_id" {
  description = "Security group of the tasks, for a consumer in the same VPC that lets them in."
  value       = aws_security_group.this.id
}

output "repository_url" {
  description = "Where to push the image."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "ARN of the image repository."
  value       = aws_ecr_repository.this.arn
}

output "log_group_name" {
  description = "Log group of the workers."
  value       = aws_cloudwatch_log_group.this.name
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = aws_cloudwatch_log_group.this.arn
}
