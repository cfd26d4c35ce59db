################################################################################
# What there is
################################################################################

locals {
  # Highest priority first: this is also the order in which the worker is told of them.
  work_queue_order = concat(
    var.high_priority_queue ? ["high"] : [],
    ["main"],
    var.fifo_queue ? ["fifo"] : [],
  )

  work_queues = { for key in local.work_queue_order : key => {
    name = { high = "${var.name}-high", main = var.name, fifo = "${var.name}.fifo" }[key]
    fifo = key == "fifo"
    dead = key == "fifo" ? "fifo" : "standard" # the dead-letter queue of a FIFO queue must be FIFO
  } }

  result_queues = var.results_queue ? {
    results = { name = "${var.name}-results", fifo = false, dead = "results" }
  } : {}

  source_queues = merge(local.work_queues, local.result_queues)

  dead_letter_queues = merge(
    { standard = { name = "${var.name}-dlq", fifo = false } },
    var.fifo_queue ? { fifo = { name = "${var.name}-dlq.fifo", fifo = true } } : {},
    var.results_queue ? { results = { name = "${var.name}-results-dlq", fifo = false } } : {},
  )
}

################################################################################
# Work queues, and the queue for results
################################################################################

resource "aws_sqs_queue" "source" {
  for_each = local.source_queues

  name                       = each.value.name
  visibility_timeout_seconds = var.visibility_timeout_seconds
  receive_wait_time_seconds  = var.receive_wait_time_seconds
  message_retention_seconds  = var.message_retention_seconds

  # Smaller than the dead-letter queue takes, so that the copy of a poisoned
  # message always has room for the attributes that say why it is there.
  max_message_size = var.max_message_bytes

  fifo_queue            = each.value.fifo ? true : null # the provider refuses an explicit false
  deduplication_scope   = each.value.fifo ? "messageGroup" : null
  fifo_throughput_limit = each.value.fifo ? "perMessageGroupId" : null

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : var.kms_data_key_reuse_period_seconds

  tags = var.tags
}

################################################################################
# Dead-letter queues
################################################################################

resource "aws_sqs_queue" "dead_letter" {
  for_each = local.dead_letter_queues

  name                       = each.value.name
  visibility_timeout_seconds = var.visibility_timeout_seconds
  receive_wait_time_seconds  = var.receive_wait_time_seconds
  message_retention_seconds  = var.dead_letter_retention_seconds
  max_message_size           = 1048576 # SQS's own limit, 1 MiB with the attributes

  fifo_queue            = each.value.fifo ? true : null
  deduplication_scope   = each.value.fifo ? "messageGroup" : null
  fifo_throughput_limit = each.value.fifo ? "perMessageGroupId" : null

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : var.kms_data_key_reuse_period_seconds

  tags = var.tags
}

# Only our own queues may name these as their dead-letter queue.
resource "aws_sqs_queue_redrive_allow_policy" "dead_letter" {
  for_each = local.dead_letter_queues

  queue_url = aws_sqs_queue.dead_letter[each.key].url
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = sort([for key, queue in local.source_queues : aws_sqs_queue.source[key].arn if queue.dead == each.key])
  })
}

# After the allow policy: SQS refuses a source that the dead-letter queue does not name yet, so that
# within aws_sqs_queue no queue could be added later.
resource "aws_sqs_queue_redrive_policy" "source" {
  for_each = local.source_queues

  queue_url = aws_sqs_queue.source[each.key].url
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter[each.value.dead].arn
    maxReceiveCount     = var.max_receive_count
  })

  depends_on = [aws_sqs_queue_redrive_allow_policy.dead_letter]
}

################################################################################
# Queue policies: nobody without TLS, whatever their IAM policy says
################################################################################

locals {
  every_queue = merge(
    { for key, queue in aws_sqs_queue.source : key => queue },
    { for key, queue in aws_sqs_queue.dead_letter : "dead-${key}" => queue },
  )
  every_key = concat(keys(local.source_queues), [for key in keys(local.dead_letter_queues) : "dead-${key}"])
}

resource "aws_sqs_queue_policy" "tls_only" {
  for_each = toset(local.every_key)

  queue_url = local.every_queue[each.key].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DenyPlaintext"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.every_queue[each.key].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
