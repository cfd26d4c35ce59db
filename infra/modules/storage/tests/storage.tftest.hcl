# Nothing public, nothing in plaintext, nothing kept for ever that need not be.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = {
      id  = "speech-mocked-123456789012-eu-west-1"
      arn = "arn:aws:s3:::speech-mocked-123456789012-eu-west-1"
    }
  }
}

variables {
  name = "speech"
}

run "there_are_three_buckets_named_after_account_and_region" {
  assert {
    condition     = sort([for b in aws_s3_bucket.this : b.bucket]) == tolist(["speech-references-123456789012-eu-west-1", "speech-results-123456789012-eu-west-1", "speech-uploads-123456789012-eu-west-1"])
    error_message = "uploads, references and results must each have a bucket of a predictable name."
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket.this : length(b.bucket) <= 63])
    error_message = "S3 refuses names over 63 characters."
  }
}

run "no_bucket_is_public" {
  assert {
    condition = length(aws_s3_bucket_public_access_block.this) == 3 && alltrue([
      for b in aws_s3_bucket_public_access_block.this : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets
    ])
    error_message = "Public access must be blocked in all four ways on all three buckets."
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_ownership_controls.this : b.rule[0].object_ownership == "BucketOwnerEnforced"])
    error_message = "ACLs must be off."
  }
}

run "bucket_policies_only_deny" {
  assert {
    condition = alltrue([for p in aws_s3_bucket_policy.this : alltrue([
      for s in jsondecode(p.policy).Statement : s.Effect == "Deny"
    ])])
    error_message = "A bucket policy must give nothing: IAM policies do."
  }
  assert {
    condition = alltrue([for p in aws_s3_bucket_policy.this : anytrue([
      for s in jsondecode(p.policy).Statement : try(s.Condition.Bool["aws:SecureTransport"] == "false", false) && length(s.Resource) == 2
    ])])
    error_message = "Requests without TLS must be refused for the bucket and its objects."
  }
}

run "objects_are_versioned_and_encrypted" {
  assert {
    condition     = alltrue([for v in aws_s3_bucket_versioning.this : v.versioning_configuration[0].status == "Enabled"])
    error_message = "Versioning must be on."
  }
  assert {
    condition = alltrue([for e in aws_s3_bucket_server_side_encryption_configuration.this : alltrue([
      for r in e.rule : r.apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    ])])
    error_message = "Without a key, SSE-S3."
  }
}

run "a_given_key_is_used_with_bucket_keys" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
  assert {
    condition = alltrue([for e in aws_s3_bucket_server_side_encryption_configuration.this : alltrue([
      for r in e.rule : r.bucket_key_enabled && r.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && r.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    ])])
    error_message = "With a key, SSE-KMS with bucket keys."
  }
}

run "uploads_and_results_expire_and_references_stay" {
  assert {
    condition     = one([for r in aws_s3_bucket_lifecycle_configuration.this["uploads"].rule : r.expiration[0].days if r.id == "expire"]) == 30
    error_message = "Uploads must expire after 30 days."
  }
  assert {
    condition     = one([for r in aws_s3_bucket_lifecycle_configuration.this["results"].rule : r.expiration[0].days if r.id == "expire"]) == 90
    error_message = "Results must expire after 90 days."
  }
  assert {
    condition     = length([for r in aws_s3_bucket_lifecycle_configuration.this["references"].rule : r if r.id == "expire"]) == 0
    error_message = "References must not expire."
  }
  assert {
    condition     = alltrue([for l in aws_s3_bucket_lifecycle_configuration.this : anytrue([for r in l.rule : length(r.noncurrent_version_expiration) == 1])])
    error_message = "Old versions must be deleted in time, or expiry deletes nothing."
  }
}

run "browsers_may_upload_only_where_an_origin_is_named" {
  variables {
    upload_origins = ["https://app.example.com"]
  }
  assert {
    condition = length(aws_s3_bucket_cors_configuration.uploads) == 1 && alltrue([
      for r in aws_s3_bucket_cors_configuration.uploads[0].cors_rule : !contains(r.allowed_methods, "GET") && !contains(r.allowed_origins, "*")
    ])
    error_message = "The CORS rule must allow uploads from the named origin and no reading."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Speech_Uploads"
  }
  expect_failures = [var.name]
}

run "refuses_uploads_that_go_before_their_dead_letters" {
  command = plan
  variables {
    uploads_expire_days = 7
  }
  expect_failures = [var.uploads_expire_days]
}

run "refuses_results_that_go_before_a_redrive" {
  command = plan
  variables {
    results_expire_days = 1
  }
  expect_failures = [var.results_expire_days]
}

run "refuses_any_origin" {
  command = plan
  variables {
    upload_origins = ["*"]
  }
  expect_failures = [var.upload_origins]
}

run "refuses_a_key_alias" {
  command = plan
  variables {
    kms_key_arn = "alias/speech"
  }
  expect_failures = [var.kms_key_arn]
}
