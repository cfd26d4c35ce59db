# A fleet with everything, in a VPC of its own.

provider "aws" {
  region = var.region

  default_tags {
    tags = { Fleet = var.name, ManagedBy = "terraform" }
  }
}

module "network" {
  source = "../../modules/network"

  name                 = var.name
  availability_zones   = var.availability_zones
  nat_gateway_per_zone = var.nat_gateway_per_zone
}

module "fleet" {
  source = "../.."

  name       = var.name
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.private_subnet_ids
  image_tag  = var.image_tag

  high_priority_queue = var.high_priority_queue
  fifo_queue          = var.fifo_queue
  results_queue       = var.results_queue
  upload_origins      = var.upload_origins
  environment         = var.environment

  min_tasks         = var.min_tasks
  max_tasks         = var.max_tasks
  slots_per_task    = var.slots_per_task
  job_seconds       = var.job_seconds
  acceptable_wait_s = var.acceptable_wait_s
  schedules         = var.schedules

  alarm_emails = var.alarm_emails
  runbook_url  = var.runbook_url
  destroyable  = var.destroyable
}
