output "bucket_names" {
  description = "Names of the buckets, keyed uploads, references and results."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.id }

  # S3 refuses replication between buckets that have no versions yet.
  depends_on = [aws_s3_bucket_versioning.this]
}

output "bucket_arns" {
  description = "ARNs of the buckets, keyed uploads, references and results."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.arn }
  depends_on  = [aws_s3_bucket_versioning.this]
}
