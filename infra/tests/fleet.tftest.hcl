# The modules joined: what one makes is what the other is told.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:speech-jobs"
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/speech-jobs"
    }
  }
  mock_resource "aws_s3_bucket" {
    defaults = {
      id  = "speech-mocked-123456789012-eu-west-1"
      arn = "arn:aws:s3:::speech-mocked-123456789012-eu-west-1"
    }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:speech-webhook-AbCdEf" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/mocked" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = {
      arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/speech"
      repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/speech"
    }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/speech/worker" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/speech" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = {
      arn                  = "arn:aws:ecs:eu-west-1:123456789012:task-definition/speech:1"
      arn_without_revision = "arn:aws:ecs:eu-west-1:123456789012:task-definition/speech"
    }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:speech-alarms" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:mocked" }
  }
}

variables {
  name       = "speech"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  image_tag  = "1.4.0"
}

run "worker_and_queue_agree_on_the_visibility_timeout" {
  variables {
    visibility_timeout_s = 90
  }
  assert {
    condition     = one([for e in module.service.container_definition.environment : e.value if e.name == "WORKER_VISIBILITY_TIMEOUT_S"]) == "90" && module.queues.visibility_timeout_seconds == 90
    error_message = "The worker's lease must be the queue's visibility timeout."
  }
}

run "the_worker_is_told_of_what_was_made" {
  assert {
    condition = length(setsubtract(
      ["WORKER_QUEUE_URL", "WORKER_DEFAULT_BUCKET", "WORKER_REFERENCE_PREFIX", "WORKER_ALLOWED_BUCKETS", "WORKER_RESULTS_BUCKET", "WORKER_RESULTS_PREFIX", "WORKER_WEBHOOK_SECRET", "WORKER_CONCURRENCY"],
      [for e in module.service.container_definition.environment : e.name],
    )) == 0
    error_message = "Queues, buckets, secret and slots must reach the worker."
  }
  assert {
    condition     = !contains([for e in module.service.container_definition.environment : e.name], "WORKER_RESULT_QUEUE_URL")
    error_message = "Without a results queue there must be no setting for it."
  }
}

run "alarms_watch_every_queue" {
  variables {
    high_priority_queue = true
    fifo_queue          = true
    results_queue       = true
  }
  assert {
    condition     = length([for name in module.observability.alarm_names : name if endswith(name, "-not-empty")]) == 3 && length([for name in module.observability.alarm_names : name if endswith(name, "-old")]) == 3
    error_message = "Three dead-letter queues and three work queues."
  }
}

run "no_key_is_in_the_state" {
  assert {
    condition     = length(aws_secretsmanager_secret.webhook) == 1 && output.webhook_secret_arn == aws_secretsmanager_secret.webhook[0].arn
    error_message = "The secret is made empty and passed by ARN."
  }
}

run "a_secret_that_exists_is_used" {
  variables {
    webhook_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mine-AbCdEf"
  }
  assert {
    condition     = length(aws_secretsmanager_secret.webhook) == 0 && output.webhook_secret_arn == var.webhook_secret_arn
    error_message = "A given secret must be used as it is."
  }
}

run "a_secret_that_is_made_with_the_fleet_can_be_planned" {
  command = plan
  module {
    source = "./tests/own_secret"
  }
}

run "a_secret_that_is_made_with_the_fleet_is_used" {
  module {
    source = "./tests/own_secret"
  }
  assert {
    condition     = output.webhook_secret_arn == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:speech-webhook-AbCdEf"
    error_message = "The workers must be told of the secret that was made beside the fleet."
  }
}

run "rendered_with_what_lies_elsewhere" {
  variables {
    image                   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/other:1.4.0"
    image_tag               = null
    kms_key_arn             = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    further_repository_arns = ["arn:aws:ecr:eu-west-1:123456789012:repository/other"]
    further_kms_key_arns    = ["arn:aws:kms:eu-west-1:123456789012:key/66666666-7777-8888-9999-000000000000"]
  }
  assert {
    condition     = module.service.container_definition.image == var.image
    error_message = "tests/infra/test_iam_policies.py reads the roles of this run."
  }
}

run "refuses_to_go_unsigned_by_oversight" {
  command = plan
  variables {
    create_webhook_secret = false
  }
  expect_failures = [var.create_webhook_secret]
}

run "a_fleet_that_may_sleep_needs_no_task_on_fargate_proper" {
  variables {
    min_tasks = 0
  }
  assert {
    condition     = module.autoscaling.target_backlog_per_task > 0
    error_message = "A sleeping fleet scales all the same."
  }
}

run "refuses_a_name_that_no_bucket_could_have" {
  command = plan
  variables {
    name = "Speech"
  }
  expect_failures = [var.name]
}

run "refuses_a_size_that_fargate_has_not" {
  command = plan
  variables {
    slots_per_task = 3
  }
  expect_failures = [var.slots_per_task]
}

run "refuses_a_bucket_by_name" {
  command = plan
  variables {
    further_inputs = [{ bucket_arn = "my-bucket" }]
  }
  expect_failures = [var.further_inputs]
}
