output "queue_urls" {
  description = "Where producers send jobs, highest priority first."
  value       = module.queues.work_queue_urls
}

output "queue_arns" {
  description = "ARNs of the same queues."
  value       = module.queues.work_queue_arns
}

output "dead_letter_queue_urls" {
  description = "Dead-letter queues, by kind."
  value       = module.queues.dead_letter_queue_urls
}

output "result_queue_url" {
  description = "Where results can be read, or null."
  value       = module.queues.result_queue_url
}

output "bucket_names" {
  description = "Buckets, keyed uploads, references and results."
  value       = module.storage.bucket_names
}

output "bucket_arns" {
  description = "ARNs of the same buckets."
  value       = module.storage.bucket_arns
}

output "repository_url" {
  description = "Where to push the image."
  value       = module.service.repository_url
}

output "cluster_name" {
  description = "ECS cluster."
  value       = module.service.cluster_name
}

output "service_name" {
  description = "ECS service."
  value       = module.service.service_name
}

output "log_group_name" {
  description = "Log group of the workers."
  value       = module.service.log_group_name
}

output "webhook_secret_arn" {
  description = "Secret to put the webhook keys into."
  value       = local.webhook_secret_arn
}

output "producer_policy_arn" {
  description = "Attach to whoever enqueues jobs."
  value       = module.iam.producer_policy_arn
}

output "operator_policy_arn" {
  description = "Attach to whoever looks after the fleet."
  value       = module.iam.operator_policy_arn
}

output "worker_security_group_id" {
  description = "Security group of the tasks, for a consumer in the same VPC."
  value       = module.service.security_group_id
}

output "alarm_topic_arn" {
  description = "Topic of the alarms."
  value       = module.observability.topic_arn
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = module.observability.dashboard_name
}

output "sweep_task_family" {
  description = "Task family of the sweep, to run one by hand."
  value       = module.sweep.task_definition_family
}
