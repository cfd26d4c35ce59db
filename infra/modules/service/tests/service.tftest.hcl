# The task as the worker needs it: hardened, and given time to drain.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = {
      arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/analysis"
      repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/analysis"
    }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/analysis/worker" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/analysis" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/analysis:1" }
  }
}

variables {
  name               = "analysis"
  image_tag          = "1.4.0"
  vpc_id             = "vpc-0123456789abcdef0"
  subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  task_role_arn      = "arn:aws:iam::123456789012:role/analysis-worker"
  execution_role_arn = "arn:aws:iam::123456789012:role/analysis-execution"
  queue_urls         = ["https://sqs.eu-west-1.amazonaws.com/123456789012/analysis-jobs-high", "https://sqs.eu-west-1.amazonaws.com/123456789012/analysis-jobs"]
  webhook_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:analysis-webhook-AbCdEf"
}

run "a_stop_leaves_time_to_drain" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 120
    error_message = "stopTimeout must be 120."
  }
  assert {
    condition = sum([for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment :
      tonumber(e.value) if contains(["WORKER_WAIT_TIME_S", "WORKER_SHUTDOWN_GRACE_S"], e.name)
    ]) < 120
    error_message = "Wait time and grace together must stay below stopTimeout."
  }
}

run "the_container_is_hardened" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem && !jsondecode(aws_ecs_task_definition.this.container_definitions)[0].privileged
    error_message = "The root file system must be read-only, the container unprivileged."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "10001:10001"
    error_message = "The container must not run as root."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "All capabilities must be dropped."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.tmpfs[0].containerPath == "/tmp"
    error_message = "With a read-only root, /tmp must be a tmpfs."
  }
  assert {
    condition     = length([for option in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.tmpfs[0].mountOptions : option if strcontains(option, "=")]) == 0
    error_message = "ECS lists mount options by name, without a value."
  }
}

run "health_is_livez" {
  assert {
    condition     = strcontains(join(" ", jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command), ":8080/livez")
    error_message = "The health check must ask /livez: /readyz is false while SQS is out, and a restart would not help."
  }
}

run "the_secret_goes_by_arn" {
  assert {
    condition     = one([for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.value if e.name == "WORKER_WEBHOOK_SECRET"]) == var.webhook_secret_arn
    error_message = "The worker must get the secret's ARN, so that a rotation needs no restart."
  }
  assert {
    condition     = !can(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets)
    error_message = "ECS must not put the secret's value into the environment."
  }
}

run "queues_are_passed_highest_first" {
  assert {
    condition     = one([for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.value if e.name == "WORKER_QUEUE_URL"]) == join(",", var.queue_urls)
    error_message = "WORKER_QUEUE_URL must list the queues in the order given."
  }
}

run "tasks_are_private_and_mostly_spot" {
  assert {
    condition     = aws_ecs_service.this.network_configuration[0].assign_public_ip == false
    error_message = "Tasks must have no public address."
  }
  assert {
    condition     = sort([for s in aws_ecs_service.this.capacity_provider_strategy : "${s.capacity_provider} ${s.base}/${s.weight}"]) == tolist(["FARGATE 1/1", "FARGATE_SPOT 0/3"])
    error_message = "One task on Fargate proper, then one to three."
  }
  assert {
    condition     = aws_ecs_service.this.force_new_deployment
    error_message = "Without a forced deployment no strategy can be changed."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.metrics) == 0
    error_message = "Nobody may call a worker unless asked for."
  }
}

run "fargate_proper_alone_when_spot_weighs_nothing" {
  variables {
    fargate_spot_weight = 0
  }
  assert {
    condition     = [for s in aws_ecs_service.this.capacity_provider_strategy : s.capacity_provider] == ["FARGATE"]
    error_message = "Without a Spot weight there must be no Spot tasks."
  }
}

run "a_bad_deployment_rolls_back" {
  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback && aws_ecs_service.this.deployment_minimum_healthy_percent == 100
    error_message = "The circuit breaker must roll back, and old tasks go only when new ones are up."
  }
}

run "images_are_immutable_and_scanned" {
  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "Tags must be immutable and images scanned."
  }
  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[1].selection.countNumber == 30
    error_message = "Old images must expire."
  }
}

run "an_image_from_elsewhere_is_run_as_it_is" {
  variables {
    image     = "registry.example.com/analysis@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    image_tag = null
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].image == var.image
    error_message = "A given image must be run as it is."
  }
}

run "further_settings_win" {
  variables {
    environment = { WORKER_LOG_FORMAT = "console", WORKER_RESULTS_BUCKET = "results" }
  }
  assert {
    condition     = one([for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.value if e.name == "WORKER_LOG_FORMAT"]) == "console"
    error_message = "A given setting must win over the module's."
  }
}

run "a_webhook_port_opens_when_named" {
  variables {
    webhook_ports    = [443, 8443]
    metrics_scrapers = { prometheus = "sg-0123456789abcdef0" }
  }
  assert {
    condition     = [for r in aws_vpc_security_group_egress_rule.webhook_ports : r.to_port] == [8443] && aws_vpc_security_group_egress_rule.https.to_port == 443
    error_message = "443 once, and the ports that are named."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.metrics["prometheus"].to_port == 8080
    error_message = "A scraper that is named may read the health port."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Analysis"
  }
  expect_failures = [var.name]
}

run "refuses_one_subnet" {
  command = plan
  variables {
    subnet_ids = ["subnet-0123456789abcdef0"]
  }
  expect_failures = [var.subnet_ids]
}

run "refuses_no_queue" {
  command = plan
  variables {
    queue_urls = []
  }
  expect_failures = [var.queue_urls]
}

run "refuses_latest" {
  command = plan
  variables {
    image_tag = "latest"
  }
  expect_failures = [var.image_tag]
}

run "refuses_two_images" {
  command = plan
  variables {
    image = "example.com/analysis:1"
  }
  expect_failures = [var.image_tag]
}

run "refuses_a_grace_longer_than_the_stop" {
  command = plan
  variables {
    shutdown_grace_s = 100
  }
  expect_failures = [var.stop_timeout_s]
}

run "refuses_a_stop_beyond_fargate" {
  command = plan
  variables {
    stop_timeout_s = 300
  }
  expect_failures = [var.stop_timeout_s]
}

run "refuses_root" {
  command = plan
  variables {
    container_uid = 0
  }
  expect_failures = [var.container_uid]
}

run "refuses_more_slots_than_cpus" {
  command = plan
  variables {
    slots_per_task = 4
    child_max_mb   = 512
  }
  expect_failures = [var.slots_per_task]
}

run "refuses_too_little_memory" {
  command = plan
  variables {
    child_max_mb = 2048
  }
  expect_failures = [var.task_memory_mib]
}

run "refuses_a_size_that_fargate_has_not" {
  command = plan
  variables {
    task_cpu        = 3072
    task_memory_mib = 8192
  }
  expect_failures = [var.task_cpu]
}

run "takes_the_largest_sizes_that_fargate_has" {
  command = plan
  variables {
    task_cpu        = 8192
    task_memory_mib = 60 * 1024
  }
  assert {
    condition     = aws_ecs_task_definition.this.memory == "61440"
    error_message = "8 vCPU go with up to 60 GiB."
  }
}

run "refuses_more_memory_than_fargate_has" {
  command = plan
  variables {
    task_cpu        = 4096
    task_memory_mib = 31 * 1024
  }
  expect_failures = [var.task_memory_mib]
}

run "refuses_a_step_that_fargate_has_not" {
  command = plan
  variables {
    task_cpu        = 8192
    task_memory_mib = 18 * 1024
  }
  expect_failures = [var.task_memory_mib]
}

run "refuses_half_a_step_of_the_largest_size" {
  command = plan
  variables {
    task_cpu        = 16384
    task_memory_mib = 36 * 1024
  }
  expect_failures = [var.task_memory_mib]
}

run "refuses_children_too_small_to_live" {
  command = plan
  variables {
    child_max_mb = 256
  }
  expect_failures = [var.child_max_mb]
}

run "refuses_a_tmpfs_too_small" {
  command = plan
  variables {
    tmpfs_mib = 8
  }
  expect_failures = [var.tmpfs_mib]
}

run "refuses_another_architecture" {
  command = plan
  variables {
    cpu_architecture = "RISCV64"
  }
  expect_failures = [var.cpu_architecture]
}

run "refuses_a_port_that_is_none" {
  command = plan
  variables {
    webhook_ports = [0]
  }
  expect_failures = [var.webhook_ports]
}

run "refuses_a_privileged_health_port" {
  command = plan
  variables {
    health_port = 80
  }
  expect_failures = [var.health_port]
}

run "refuses_a_key_in_the_environment" {
  command = plan
  variables {
    environment = { WORKER_WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }
  }
  expect_failures = [var.environment]
}

run "spot_alone_where_no_task_must_be_on_fargate_proper" {
  variables {
    fargate_base   = 0
    fargate_weight = 0
  }
  assert {
    condition     = [for s in aws_ecs_service.this.capacity_provider_strategy : s.capacity_provider] == ["FARGATE_SPOT"]
    error_message = "Without base and weight there must be no task on Fargate proper."
  }
}

run "refuses_a_base_that_ecs_would_not_place" {
  command = plan
  variables {
    fargate_weight = 0
  }
  expect_failures = [var.fargate_weight]
}

run "refuses_no_capacity" {
  command = plan
  variables {
    fargate_base        = 0
    fargate_weight      = 0
    fargate_spot_weight = 0
  }
  expect_failures = [var.fargate_spot_weight]
}

run "refuses_too_few_images" {
  command = plan
  variables {
    images_kept = 1
  }
  expect_failures = [var.images_kept]
}

run "refuses_an_unknown_retention" {
  command = plan
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}
