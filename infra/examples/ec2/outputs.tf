output "queue_urls" {
  description = "Where producers send."
  value       = module.queues.work_queue_urls
}

output "group_name" {
  description = "Autoscaling group."
  value       = aws_autoscaling_group.this.name
}
