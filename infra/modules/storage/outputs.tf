output "bucket_names" {
  description = "Names of the buckets, keyed uploads, references and results."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.id }
}

output "bucket_arns" {
  description = "ARNs of the buckets, keyed uploads, references and results."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.arn }
}
