output "work_queue_urls" {
  description = "URLs of the work queues, highest priority first: WORKER_QUEUE_URL when joined by commas."
  value       = [for key in local.work_queue_order : aws_sqs_queue.source[key].url]

  # A worker does not start on a queue without a redrive policy.
  depends_on = [aws_sqs_queue_redrive_policy.source]
}

output "work_queue_arns" {
  description = "ARNs of the work queues, highest priority first."
  value       = [for key in local.work_queue_order : aws_sqs_queue.source[key].arn]
}

output "work_queue_names" {
  description = "Names of the work queues, highest priority first, as CloudWatch's QueueName dimension has them."
  value       = [for key in local.work_queue_order : local.work_queues[key].name]
}

output "dead_letter_queue_arns" {
  description = "ARNs of the dead-letter queues of the work queues."
  value       = [for key in sort(distinct([for queue in local.work_queues : queue.dead])) : aws_sqs_queue.dead_letter[key].arn]
}

output "dead_letter_queue_urls" {
  description = "URLs of the dead-letter queues of the work queues, keyed by kind (standard, fifo)."
  value       = { for key in sort(distinct([for queue in local.work_queues : queue.dead])) : key => aws_sqs_queue.dead_letter[key].url }
}

output "dead_letter_queue_names" {
  description = "Names of all dead-letter queues, the results queue's too: each deserves an alarm."
  value       = sort([for queue in local.dead_letter_queues : queue.name])
}

output "result_queue_url" {
  description = "URL of the results queue, or null."
  value       = var.results_queue ? aws_sqs_queue.source["results"].url : null
}

output "result_queue_arn" {
  description = "ARN of the results queue, or null."
  value       = var.results_queue ? aws_sqs_queue.source["results"].arn : null
}

output "visibility_timeout_seconds" {
  description = "The visibility timeout, to hand to the worker."
  value       = var.visibility_timeout_seconds
}

output "receive_wait_time_seconds" {
  description = "The long poll, to hand to the worker."
  value       = var.receive_wait_time_seconds
}
