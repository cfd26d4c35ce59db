output "worker_role_arn" {
  description = "Role of the worker: an ECS task role, or the role of an instance profile."
  value       = aws_iam_role.worker.arn

  # Who takes the role finds its rights there.
  depends_on = [aws_iam_role_policy.worker]
}

output "worker_role_name" {
  description = "Name of the worker's role, for an instance profile or a further policy."
  value       = aws_iam_role.worker.name
  depends_on  = [aws_iam_role_policy.worker]
}

output "sweeper_role_arn" {
  description = "Task role of the scheduled sweep."
  value       = aws_iam_role.sweeper.arn
  depends_on  = [aws_iam_role_policy.sweeper]
}

output "execution_role_arn" {
  description = "Role that ECS pulls the image and writes logs with."
  value       = aws_iam_role.execution.arn
  depends_on  = [aws_iam_role_policy.execution]
}

output "producer_policy_arn" {
  description = "Policy for whoever enqueues jobs."
  value       = aws_iam_policy.producer.arn
}

output "operator_policy_arn" {
  description = "Policy for whoever looks after the fleet."
  value       = aws_iam_policy.operator.arn
}
