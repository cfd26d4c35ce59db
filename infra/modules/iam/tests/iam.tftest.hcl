# Least privilege, as text. tests/infra/test_iam_policies.py takes the policies that the first run
# renders and tries real calls against them.

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
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/mocked" }
  }
}

variables {
  name                   = "analysis"
  work_queue_arns        = ["arn:aws:sqs:eu-west-1:123456789012:analysis-jobs-high", "arn:aws:sqs:eu-west-1:123456789012:analysis-jobs"]
  dead_letter_queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:analysis-jobs-dlq"]
  result_queue_arn       = "arn:aws:sqs:eu-west-1:123456789012:analysis-jobs-results"
  inputs = [
    { bucket_arn = "arn:aws:s3:::analysis-uploads", prefixes = ["recordings/"] },
    { bucket_arn = "arn:aws:s3:::analysis-references" },
  ]
  results              = { bucket_arn = "arn:aws:s3:::analysis-results", prefix = "results/" }
  cluster_arn          = "arn:aws:ecs:eu-west-1:123456789012:cluster/analysis"
  webhook_secret_arn   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:analysis-webhook-AbCdEf"
  ecr_repository_arns  = ["arn:aws:ecr:eu-west-1:123456789012:repository/analysis"]
  log_group_arns       = ["arn:aws:logs:eu-west-1:123456789012:log-group:/analysis/worker"]
  producer_upload_arns = ["arn:aws:s3:::analysis-uploads/recordings/"]
}

run "rendered" {
  assert {
    condition     = length(jsondecode(aws_iam_role_policy.worker.policy).Statement) == 9
    error_message = "Queues, dead letters, results queue, inputs, results, undelivered, list, protection, secret: nine statements without a KMS key."
  }
}

run "no_action_is_a_wildcard" {
  variables {
    kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.worker.policy, aws_iam_role_policy.sweeper.policy, aws_iam_role_policy.execution.policy, aws_iam_policy.producer.policy, aws_iam_policy.operator.policy] : [
        for statement in jsondecode(policy).Statement : [for action in statement.Action : !strcontains(action, "*")]
      ]
    ]))
    error_message = "Every action must be named in full."
  }
}

run "no_resource_is_everything_where_one_can_be_named" {
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.worker.policy, aws_iam_role_policy.sweeper.policy, aws_iam_role_policy.execution.policy, aws_iam_policy.producer.policy, aws_iam_policy.operator.policy] : [
        for statement in jsondecode(policy).Statement : contains([["ecr:GetAuthorizationToken"], ["cloudwatch:GetMetricStatistics"]], statement.Action) || alltrue([for resource in flatten([statement.Resource]) : startswith(resource, "arn:aws:")])
      ]
    ]))
    error_message = "Every statement must name its resources by ARN, but those of the two actions that have none."
  }
}

run "the_worker_may_not_write_or_delete_inputs" {
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.worker.policy).Statement :
      statement.Sid == "KeepResults" || statement.Sid == "ClearUndelivered" || length(setintersection(statement.Action, ["s3:PutObject", "s3:DeleteObject"])) == 0
    ])
    error_message = "The worker must write nowhere but under the results' prefix."
  }
}

run "protection_is_for_tasks_of_the_own_cluster" {
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s.Resource if s.Sid == "ProtectOwnTasks"]) == "arn:aws:ecs:eu-west-1:123456789012:task/analysis/*"
    error_message = "Task protection must be limited to the cluster's tasks."
  }
}

run "roles_are_for_ecs_tasks_of_this_account" {
  assert {
    condition = alltrue([for role in [aws_iam_role.worker, aws_iam_role.sweeper, aws_iam_role.execution] :
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    ])
    error_message = "ECS may take a role for this account's tasks alone."
  }
}

run "an_instance_profile_is_for_ec2" {
  variables {
    worker_service = "ec2.amazonaws.com"
    cluster_arn    = null
  }
  assert {
    condition     = jsondecode(aws_iam_role.worker.assume_role_policy).Statement[0].Principal.Service == "ec2.amazonaws.com" && length(jsondecode(aws_iam_role.worker.assume_role_policy).Statement) == 1
    error_message = "On EC2 the worker's role is for EC2 and nobody else."
  }
  assert {
    condition     = length([for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s if s.Sid == "ProtectOwnTasks"]) == 0
    error_message = "There are no tasks to protect outside ECS."
  }
}

run "what_is_not_used_is_not_allowed" {
  variables {
    result_queue_arn     = null
    results              = null
    webhook_secret_arn   = null
    producer_upload_arns = []
  }
  assert {
    condition     = sort([for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s.Sid]) == tolist(["DeadLetter", "ProtectOwnTasks", "ReadInputs", "ReceiveWork", "TellMissingFromForbidden"])
    error_message = "Without results and secret there must be no statement for them."
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_policy.producer.policy).Statement : s.Sid] == ["Enqueue"]
    error_message = "A producer without upload prefixes may only enqueue."
  }
}

run "keys_are_named" {
  variables {
    kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
  }
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s.Resource if s.Sid == "UseKeys"]) == ["arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
    error_message = "Key use must be limited to the given keys."
  }
}

run "what_others_encrypted_is_only_read" {
  variables {
    decrypt_key_arns = ["arn:aws:kms:eu-west-1:210987654321:key/11111111-2222-3333-4444-555555555555"]
  }
  assert {
    condition = alltrue([for policy in [aws_iam_role_policy.worker.policy, aws_iam_role_policy.sweeper.policy] :
      one([for s in jsondecode(policy).Statement : join(" ", concat(s.Action, s.Resource)) if s.Sid == "Decrypt"]) == "kms:Decrypt ${var.decrypt_key_arns[0]}"
    ])
    error_message = "Worker and sweeper must be able to decrypt with the keys, and no more."
  }
  assert {
    condition = alltrue([for policy in [aws_iam_role_policy.execution.policy, aws_iam_policy.producer.policy, aws_iam_policy.operator.policy] :
      length([for s in jsondecode(policy).Statement : s if s.Sid == "Decrypt"]) == 0
    ])
    error_message = "Nobody else reads inputs or the secret."
  }
}

run "refuses_an_alias_to_decrypt_with" {
  command = plan
  variables {
    decrypt_key_arns = ["alias/theirs"]
  }
  expect_failures = [var.decrypt_key_arns]
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "analysis worker"
  }
  expect_failures = [var.name]
}

run "refuses_another_service" {
  command = plan
  variables {
    worker_service = "lambda.amazonaws.com"
  }
  expect_failures = [var.worker_service]
}

run "refuses_all_queues" {
  command = plan
  variables {
    work_queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:*"]
  }
  expect_failures = [var.work_queue_arns]
}

run "refuses_no_dead_letter_queue" {
  command = plan
  variables {
    dead_letter_queue_arns = []
  }
  expect_failures = [var.dead_letter_queue_arns]
}

run "refuses_a_wildcard_prefix" {
  command = plan
  variables {
    inputs = [{ bucket_arn = "arn:aws:s3:::analysis-uploads", prefixes = ["*"] }]
  }
  expect_failures = [var.inputs]
}

run "refuses_a_results_prefix_that_opens_its_neighbours" {
  command = plan
  variables {
    results = { bucket_arn = "arn:aws:s3:::analysis-results", prefix = "results" }
  }
  expect_failures = [var.results]
}

run "refuses_a_service_for_a_cluster" {
  command = plan
  variables {
    cluster_arn = "arn:aws:ecs:eu-west-1:123456789012:service/analysis/worker"
  }
  expect_failures = [var.cluster_arn]
}

run "refuses_every_secret" {
  command = plan
  variables {
    webhook_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:*"
  }
  expect_failures = [var.webhook_secret_arn]
}

run "refuses_a_key_alias" {
  command = plan
  variables {
    kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:alias/analysis"]
  }
  expect_failures = [var.kms_key_arns]
}

run "refuses_uploads_to_a_whole_account" {
  command = plan
  variables {
    producer_upload_arns = ["arn:aws:s3:::*"]
  }
  expect_failures = [var.producer_upload_arns]
}
