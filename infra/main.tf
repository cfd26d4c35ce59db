# The fleet: the modules joined, in the order in which a job meets them.
# Needs a VPC with private subnets (modules/network makes one; any other will do).

################################################################################
# Where jobs wait, and where what they name lies
################################################################################

module "queues" {
  source = "./modules/queues"

  name                          = "${var.name}-jobs"
  high_priority_queue           = var.high_priority_queue
  fifo_queue                    = var.fifo_queue
  results_queue                 = var.results_queue
  visibility_timeout_seconds    = var.visibility_timeout_s
  max_receive_count             = var.max_receive_count
  message_retention_seconds     = var.message_retention_s
  dead_letter_retention_seconds = var.dead_letter_retention_s
  kms_key_arn                   = var.kms_key_arn
  tags                          = var.tags
}

module "storage" {
  source = "./modules/storage"

  name                = var.name
  uploads_expire_days = var.uploads_expire_days
  results_expire_days = var.results_expire_days
  upload_origins      = var.upload_origins
  force_destroy       = var.destroyable
  kms_key_arn         = var.kms_key_arn
  tags                = var.tags
}

################################################################################
# The webhook keys: made empty, so that no key is ever in a plan or a state file
################################################################################

resource "aws_secretsmanager_secret" "webhook" {
  # Two questions: the first is answered in the plan, where an ARN may not be known yet.
  count = var.create_webhook_secret ? (var.webhook_secret_arn == null ? 1 : 0) : 0

  name                    = "${var.name}-webhook"
  description             = "Standard Webhooks keys: whsec_..., two with a space between while a key is rotated"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.destroyable ? 0 : 30
  tags                    = var.tags

  dynamic "replica" {
    for_each = toset(var.webhook_secret_replica_regions)
    content {
      region = replica.value
    }
  }
}

locals {
  webhook_secret_arn = length(aws_secretsmanager_secret.webhook) == 1 ? aws_secretsmanager_secret.webhook[0].arn : var.webhook_secret_arn
}

################################################################################
# What they may do
################################################################################

module "iam" {
  source = "./modules/iam"

  name                   = var.name
  work_queue_arns        = module.queues.work_queue_arns
  dead_letter_queue_arns = module.queues.dead_letter_queue_arns
  result_queue_arn       = module.queues.result_queue_arn
  inputs = concat(
    [
      { bucket_arn = module.storage.bucket_arns["uploads"] },
      { bucket_arn = module.storage.bucket_arns["references"] },
    ],
    var.further_inputs,
  )
  results                  = { bucket_arn = module.storage.bucket_arns["results"], prefix = var.results_prefix }
  cluster_arn              = module.service.cluster_arn
  webhook_secret_arn       = local.webhook_secret_arn
  kms_key_arns             = compact([var.kms_key_arn])
  decrypt_key_arns         = var.further_kms_key_arns
  ecr_repository_arns      = concat([module.service.repository_arn], var.further_repository_arns)
  log_group_arns           = [module.service.log_group_arn]
  producer_upload_arns     = ["${module.storage.bucket_arns["uploads"]}/"]
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}

################################################################################
# Who does the work
################################################################################

module "service" {
  source = "./modules/service"

  name               = var.name
  vpc_id             = var.vpc_id
  subnet_ids         = var.subnet_ids
  webhook_ports      = var.webhook_ports
  metrics_scrapers   = var.metrics_scrapers
  image              = var.image
  image_tag          = var.image_tag
  cpu_architecture   = var.cpu_architecture
  task_role_arn      = module.iam.worker_role_arn
  execution_role_arn = module.iam.execution_role_arn

  slots_per_task  = var.slots_per_task
  task_cpu        = 1024 * var.slots_per_task
  task_memory_mib = 2048 * var.slots_per_task

  queue_urls           = module.queues.work_queue_urls
  visibility_timeout_s = module.queues.visibility_timeout_seconds
  wait_time_s          = module.queues.receive_wait_time_seconds
  webhook_secret_arn   = local.webhook_secret_arn

  environment = merge(
    {
      WORKER_DEFAULT_BUCKET   = module.storage.bucket_names["uploads"]
      WORKER_REFERENCE_PREFIX = "s3://${module.storage.bucket_names["references"]}/"
      WORKER_ALLOWED_BUCKETS = join(",", concat(
        [module.storage.bucket_names["uploads"], module.storage.bucket_names["references"]],
        [for input in var.further_inputs : split(":::", input.bucket_arn)[1]],
      ))
      WORKER_RESULTS_BUCKET = module.storage.bucket_names["results"]
      WORKER_RESULTS_PREFIX = var.results_prefix
    },
    var.results_queue ? { WORKER_RESULT_QUEUE_URL = module.queues.result_queue_url } : {},
    var.environment,
  )

  initial_tasks       = var.min_tasks
  fargate_base        = min(1, var.min_tasks)
  fargate_weight      = var.fargate_weight
  fargate_spot_weight = var.fargate_spot_weight
  log_retention_days  = var.log_retention_days
  force_delete_images = var.destroyable
  kms_key_arn         = var.kms_key_arn
  tags                = var.tags
}

module "sweep" {
  source = "./modules/sweep"

  name                     = var.name
  schedule                 = var.sweep_schedule
  enabled                  = var.sweep_enabled
  container_definition     = module.service.container_definition
  cpu_architecture         = var.cpu_architecture
  cluster_arn              = module.service.cluster_arn
  subnet_ids               = var.subnet_ids
  security_group_id        = module.service.security_group_id
  task_role_arn            = module.iam.sweeper_role_arn
  execution_role_arn       = module.iam.execution_role_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}

################################################################################
# How many of them
################################################################################

module "autoscaling" {
  source = "./modules/autoscaling"

  cluster_name      = module.service.cluster_name
  service_name      = module.service.service_name
  queue_names       = module.queues.work_queue_names
  min_tasks         = var.min_tasks
  max_tasks         = var.max_tasks
  slots_per_task    = var.slots_per_task
  job_seconds       = var.job_seconds
  acceptable_wait_s = var.acceptable_wait_s
  schedules         = var.schedules
  tags              = var.tags
}

################################################################################
# Who is told when it goes wrong
################################################################################

module "observability" {
  source = "./modules/observability"

  name                       = var.name
  work_queue_names           = module.queues.work_queue_names
  dead_letter_queue_names    = module.queues.dead_letter_queue_names
  cluster_name               = module.service.cluster_name
  service_name               = module.service.service_name
  log_group_name             = module.service.log_group_name
  alarm_emails               = var.alarm_emails
  runbook_url                = var.runbook_url
  oldest_message_threshold_s = var.oldest_message_threshold_s
  kms_key_arn                = var.kms_key_arn
  tags                       = var.tags
}
