################################################################################
# What the statements are made of
################################################################################

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account_id = data.aws_caller_identity.this.account_id
  partition  = data.aws_partition.this.partition
  region     = data.aws_region.this.region

  input_objects = flatten([for input in var.inputs : [
    for prefix in input.prefixes : "${input.bucket_arn}/${prefix}*"
  ]])
  input_buckets  = distinct([for input in var.inputs : input.bucket_arn])
  result_objects = var.results == null ? [] : ["${var.results.bucket_arn}/${var.results.prefix}*"]
  result_buckets = var.results == null ? [] : [var.results.bucket_arn]

  # A statement each. An empty list means that it is left out: IAM refuses one without resources.
  receive_work = [{
    Sid    = "ReceiveWork"
    Effect = "Allow"
    Action = [
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:ChangeMessageVisibility",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
    ]
    Resource = var.work_queue_arns
  }]

  dead_letter = [{
    Sid      = "DeadLetter"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    Resource = var.dead_letter_queue_arns
  }]

  send_results = [for arn in var.result_queue_arn == null ? [] : [var.result_queue_arn] : {
    Sid      = "SendResults"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    Resource = arn
  }]

  read_inputs = [for _ in length(local.input_objects) > 0 ? [1] : [] : {
    Sid      = "ReadInputs"
    Effect   = "Allow"
    Action   = ["s3:GetObject"]
    Resource = local.input_objects
  }]

  keep_results = [for _ in length(local.result_objects) > 0 ? [1] : [] : {
    Sid    = "KeepResults"
    Effect = "Allow"
    Action = ["s3:GetObject", "s3:PutObject"]
    # No delete but that of the mark that says "not yet delivered", below.
    Resource = local.result_objects
  }]

  clear_undelivered = [for _ in var.results == null ? [] : [1] : {
    Sid    = "ClearUndelivered"
    Effect = "Allow"
    Action = ["s3:DeleteObject"]
    Resource = [
      "${var.results.bucket_arn}/${var.results.prefix}undelivered/*",
      "${var.results.bucket_arn}/${var.results.prefix}check/*", # what analysis-worker check tries writing with
    ]
  }]

  # Without ListBucket S3 answers 403 for a key that is missing, and the worker would retry what
  # can never work. No s3:prefix condition: a GetObject carries no prefix, so S3 would say 403 again.
  tell_missing_from_forbidden = [for _ in length(concat(local.input_buckets, local.result_buckets)) > 0 ? [1] : [] : {
    Sid      = "TellMissingFromForbidden"
    Effect   = "Allow"
    Action   = ["s3:ListBucket"]
    Resource = distinct(concat(local.input_buckets, local.result_buckets))
  }]

  protect_own_tasks = [for arn in var.cluster_arn == null ? [] : [var.cluster_arn] : {
    Sid      = "ProtectOwnTasks"
    Effect   = "Allow"
    Action   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
    Resource = "${replace(arn, ":cluster/", ":task/")}/*"
  }]

  read_secret = [for arn in var.webhook_secret_arn == null ? [] : [var.webhook_secret_arn] : {
    Sid      = "ReadWebhookSecret"
    Effect   = "Allow"
    Action   = ["secretsmanager:GetSecretValue"]
    Resource = arn
  }]

  use_keys = [for _ in length(var.kms_key_arns) > 0 ? [1] : [] : {
    Sid      = "UseKeys"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = var.kms_key_arns
  }]

  decrypt = [for _ in length(var.decrypt_key_arns) > 0 ? [1] : [] : {
    Sid      = "Decrypt"
    Effect   = "Allow"
    Action   = ["kms:Decrypt"]
    Resource = var.decrypt_key_arns
  }]
}

################################################################################
# Who may take the roles
################################################################################

locals {
  # The confused deputy: ECS may take the role for tasks of this account and region alone.
  ecs_trust = {
    Effect    = "Allow"
    Principal = { Service = "ecs-tasks.amazonaws.com" }
    Action    = "sts:AssumeRole"
    Condition = {
      StringEquals = { "aws:SourceAccount" = local.account_id }
      ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:*" }
    }
  }

  ec2_trust = { # an instance profile; EC2 sends no source to compare with
    Effect    = "Allow"
    Principal = { Service = "ec2.amazonaws.com" }
    Action    = "sts:AssumeRole"
  }

  worker_trust = [for trust in [local.ecs_trust, local.ec2_trust] : trust if trust.Principal.Service == var.worker_service]
}

################################################################################
# The worker
################################################################################

resource "aws_iam_role" "worker" {
  name                 = "${var.name}-worker"
  description          = "What a worker may do: take jobs, read inputs, keep results"
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = local.worker_trust })
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "worker" {
  name = "worker"
  role = aws_iam_role.worker.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.receive_work,
      local.dead_letter,
      local.send_results,
      local.read_inputs,
      local.keep_results,
      local.clear_undelivered,
      local.tell_missing_from_forbidden,
      local.protect_own_tasks,
      local.read_secret,
      local.use_keys,
      local.decrypt,
    )
  })
}

################################################################################
# The sweep: reads dead letters and undelivered results, answers them once
################################################################################

resource "aws_iam_role" "sweeper" {
  name                 = "${var.name}-sweeper"
  description          = "What the scheduled sweep may do: answer dead letters, deliver what lies undelivered"
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = [local.ecs_trust] })
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "sweeper" {
  name = "sweeper"
  role = aws_iam_role.sweeper.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "FindDeadLetterQueues"
          Effect   = "Allow"
          Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
          Resource = concat(var.work_queue_arns, var.dead_letter_queue_arns)
        },
        {
          Sid    = "AnswerDeadLetters"
          Effect = "Allow"
          Action = [
            "sqs:ReceiveMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:SendMessage",
            "sqs:DeleteMessage",
          ]
          Resource = var.dead_letter_queue_arns
        },
      ],
      local.keep_results,
      local.clear_undelivered,
      [for arn in local.result_objects : {
        Sid      = "ClearOwnClaims" # what a sweep holds a result with while it sends it again
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = "${trimsuffix(arn, "*")}sweeping/*"
      }],
      [for arn in local.result_buckets : {
        Sid      = "ListUndelivered"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = arn
      }],
      local.send_results,
      local.read_secret,
      local.use_keys,
      local.decrypt,
    )
  })
}

################################################################################
# The execution role: what ECS itself does before the worker runs
################################################################################

resource "aws_iam_role" "execution" {
  name                 = "${var.name}-execution"
  description          = "What ECS may do for a task: pull the image, open a log stream"
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = [local.ecs_trust] })
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name = "execution"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "LogInToEcr"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = "*" # the action has no resource to name
      }],
      [for _ in length(var.ecr_repository_arns) > 0 ? [1] : [] : {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = var.ecr_repository_arns
      }],
      [for _ in length(var.log_group_arns) > 0 ? [1] : [] : {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [for arn in var.log_group_arns : "${trimsuffix(arn, ":*")}:*"]
      }],
    )
  })
}

################################################################################
# For people and other programs: attach these to their roles
################################################################################

resource "aws_iam_policy" "producer" {
  name        = "${var.name}-producer"
  description = "Enqueue jobs, and upload their recordings where prefixes are given"
  tags        = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "Enqueue"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = var.work_queue_arns
      }],
      [for _ in length(var.producer_upload_arns) > 0 ? [1] : [] : {
        Sid      = "Upload" # also what a presigned PUT needs of the one who signs it
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = [for arn in var.producer_upload_arns : "${arn}*"]
      }],
      local.use_keys,
    )
  })
}

resource "aws_iam_policy" "operator" {
  name        = "${var.name}-operator"
  description = "Look at queues and logs; read, redrive, import and delete dead letters"
  tags        = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "LookAtQueues"
          Effect   = "Allow"
          Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
          Resource = concat(var.work_queue_arns, var.dead_letter_queue_arns)
        },
        {
          Sid    = "WorkOnDeadLetters"
          Effect = "Allow"
          Action = [
            "sqs:ReceiveMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:SendMessage",
          ]
          Resource = var.dead_letter_queue_arns
        },
        {
          Sid      = "Redrive"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = var.work_queue_arns
        },
      ],
      [{
        Sid      = "ReadTheOldestJobsAge"
        Effect   = "Allow"
        Action   = ["cloudwatch:GetMetricStatistics"]
        Resource = "*" # the action has no resource to name
      }],
      [for _ in length(var.log_group_arns) > 0 ? [1] : [] : {
        Sid      = "SearchLogs"
        Effect   = "Allow"
        Action   = ["logs:FilterLogEvents", "logs:GetLogEvents"]
        Resource = [for arn in var.log_group_arns : "${trimsuffix(arn, ":*")}:*"]
      }],
      local.use_keys,
    )
  })
}
