# The queues as the worker expects them. Run: terraform test (init first).

mock_provider "aws" {
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:mocked"
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/mocked"
    }
  }
}

variables {
  name = "analysis-jobs"
}

run "every_work_queue_redrives_after_six_receives" {
  variables {
    high_priority_queue = true
    fifo_queue          = true
  }

  assert {
    condition     = sort(keys(aws_sqs_queue_redrive_policy.source)) == sort(keys(aws_sqs_queue.source)) && length(aws_sqs_queue.source) == 3
    error_message = "Each of main, high and fifo must carry a RedrivePolicy, in a resource that can wait for the allow policy."
  }
  assert {
    condition     = alltrue([for p in aws_sqs_queue_redrive_policy.source : jsondecode(p.redrive_policy).maxReceiveCount == 6])
    error_message = "Six receives."
  }
  assert {
    condition     = output.work_queue_names == ["analysis-jobs-high", "analysis-jobs", "analysis-jobs.fifo"]
    error_message = "Queues must be listed highest priority first."
  }
}

run "a_fifo_queue_has_a_fifo_dead_letter_queue" {
  variables {
    fifo_queue = true
  }

  assert {
    condition     = aws_sqs_queue.dead_letter["fifo"].fifo_queue && endswith(aws_sqs_queue.dead_letter["fifo"].name, ".fifo")
    error_message = "The dead-letter queue of a FIFO queue must be FIFO."
  }
  assert {
    condition     = aws_sqs_queue.source["fifo"].fifo_throughput_limit == "perMessageGroupId" && aws_sqs_queue.source["fifo"].deduplication_scope == "messageGroup"
    error_message = "FIFO queues must use high-throughput mode."
  }
}

run "dead_letters_are_kept_fourteen_days_and_larger_than_any_message" {
  assert {
    condition     = aws_sqs_queue.dead_letter["standard"].message_retention_seconds == 14 * 24 * 3600
    error_message = "Dead letters must be kept 14 days."
  }
  assert {
    condition     = aws_sqs_queue.dead_letter["standard"].max_message_size > aws_sqs_queue.source["main"].max_message_size
    error_message = "A dead letter is the message plus its reason: its queue must take more."
  }
}

run "only_our_queues_may_redrive_here" {
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letter["standard"].redrive_allow_policy).redrivePermission == "byQueue"
    error_message = "The dead-letter queue must name its sources."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letter["standard"].redrive_allow_policy).sourceQueueArns == [aws_sqs_queue.source["main"].arn]
    error_message = "The main queue, and it alone, may redrive into its dead-letter queue."
  }
}

run "visibility_and_long_poll_are_the_workers" {
  assert {
    condition     = aws_sqs_queue.source["main"].visibility_timeout_seconds == 60 && aws_sqs_queue.source["main"].receive_wait_time_seconds == 20
    error_message = "The queue must have the worker's defaults: 60 s visibility, 20 s long poll."
  }
}

run "messages_are_encrypted_by_sqs_unless_a_key_is_given" {
  assert {
    condition     = alltrue([for q in concat(values(aws_sqs_queue.source), values(aws_sqs_queue.dead_letter)) : q.sqs_managed_sse_enabled])
    error_message = "Without a KMS key every queue must use SSE-SQS."
  }
}

run "messages_are_encrypted_with_the_key_that_is_given" {
  variables {
    kms_key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    results_queue = true
  }

  assert {
    condition     = alltrue([for q in concat(values(aws_sqs_queue.source), values(aws_sqs_queue.dead_letter)) : q.kms_master_key_id == var.kms_key_arn])
    error_message = "With a KMS key every queue must use it."
  }
}

run "every_queue_refuses_plaintext" {
  variables {
    high_priority_queue = true
    fifo_queue          = true
    results_queue       = true
  }

  assert {
    condition     = length(aws_sqs_queue_policy.tls_only) == length(aws_sqs_queue.source) + length(aws_sqs_queue.dead_letter)
    error_message = "Each queue needs the TLS-only policy."
  }
  assert {
    condition = alltrue([for p in aws_sqs_queue_policy.tls_only : alltrue([
      for s in jsondecode(p.policy).Statement : s.Effect == "Deny" && s.Condition.Bool["aws:SecureTransport"] == "false"
    ])])
    error_message = "Queue policies may only deny, and must deny requests without TLS."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "jobs.fifo"
  }
  expect_failures = [var.name]
}

run "refuses_a_visibility_timeout_that_loses_leases" {
  command = plan
  variables {
    visibility_timeout_seconds = 5
  }
  expect_failures = [var.visibility_timeout_seconds]
}

run "refuses_short_polling" {
  command = plan
  variables {
    receive_wait_time_seconds = 0
  }
  expect_failures = [var.receive_wait_time_seconds]
}

run "refuses_too_few_receives" {
  command = plan
  variables {
    max_receive_count = 3
  }
  expect_failures = [var.max_receive_count]
}

run "refuses_dead_letters_that_expire_first" {
  command = plan
  variables {
    message_retention_seconds     = 1209600
    dead_letter_retention_seconds = 1209600
  }
  expect_failures = [var.dead_letter_retention_seconds]
}

run "refuses_a_retention_beyond_sqs" {
  command = plan
  variables {
    message_retention_seconds = 60
  }
  expect_failures = [var.message_retention_seconds]
}

run "refuses_messages_as_large_as_a_dead_letter" {
  command = plan
  variables {
    max_message_bytes = 1048576
  }
  expect_failures = [var.max_message_bytes]
}

run "refuses_a_key_alias" {
  command = plan
  variables {
    kms_key_arn = "alias/analysis"
  }
  expect_failures = [var.kms_key_arn]
}

run "refuses_a_data_key_reuse_beyond_a_day" {
  command = plan
  variables {
    kms_data_key_reuse_period_seconds = 100000
  }
  expect_failures = [var.kms_data_key_reuse_period_seconds]
}
