# The sweep is the worker's image, with another command and another role.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = {
      arn                  = "arn:aws:ecs:eu-west-1:123456789012:task-definition/analysis-sweep:7"
      arn_without_revision = "arn:aws:ecs:eu-west-1:123456789012:task-definition/analysis-sweep"
    }
  }
}

variables {
  name               = "analysis"
  cluster_arn        = "arn:aws:ecs:eu-west-1:123456789012:cluster/analysis"
  subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  security_group_id  = "sg-0123456789abcdef0"
  task_role_arn      = "arn:aws:iam::123456789012:role/analysis-sweeper"
  execution_role_arn = "arn:aws:iam::123456789012:role/analysis-execution"
  container_definition = {
    name                   = "worker"
    image                  = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/analysis:1.4.0"
    command                = ["run"]
    readonlyRootFilesystem = true
    portMappings           = [{ containerPort = 8080 }]
    healthCheck            = { command = ["CMD", "true"] }
    environment = [
      { name = "WORKER_HEALTH_PORT", value = "8080" },
      { name = "WORKER_QUEUE_URL", value = "https://sqs.eu-west-1.amazonaws.com/123456789012/analysis-jobs" },
    ]
  }
}

run "runs_the_sweep_of_the_same_image" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].image == var.container_definition.image && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command == ["sweep"]
    error_message = "The same image, the command sweep."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem && !can(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck)
    error_message = "As hardened as the worker, without its health check."
  }
  assert {
    condition     = [for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name] == ["WORKER_QUEUE_URL"]
    error_message = "The worker's settings but for the health port."
  }
}

run "follows_deployments" {
  assert {
    condition     = !can(regex(":[0-9]+$", aws_scheduler_schedule.this.target[0].ecs_parameters[0].task_definition_arn))
    error_message = "The schedule must name the family, not a revision."
  }
  assert {
    condition     = aws_scheduler_schedule.this.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip == false
    error_message = "The sweep must have no public address."
  }
}

run "the_scheduler_may_start_this_sweep_and_nothing_else" {
  assert {
    condition = alltrue([for s in jsondecode(aws_iam_role_policy.scheduler.policy).Statement :
      !contains(s.Resource, "*") && alltrue([for action in s.Action : !strcontains(action, "*")])
    ])
    error_message = "No wildcard action, no resource that is everything."
  }
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.scheduler.policy).Statement : s.Resource if s.Sid == "HandOverRoles"]) == [var.task_role_arn, var.execution_role_arn]
    error_message = "Only the sweep's two roles may be handed over."
  }
}

run "can_be_paused" {
  variables {
    enabled = false
  }
  assert {
    condition     = aws_scheduler_schedule.this.state == "DISABLED"
    error_message = "enabled = false must stop the schedule."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Analysis"
  }
  expect_failures = [var.name]
}

run "refuses_a_schedule_in_words" {
  command = plan
  variables {
    schedule = "every 15 minutes"
  }
  expect_failures = [var.schedule]
}

run "refuses_something_else_than_a_container" {
  command = plan
  variables {
    container_definition = { foo = "bar" }
  }
  expect_failures = [var.container_definition]
}

run "refuses_another_architecture" {
  command = plan
  variables {
    cpu_architecture = "RISCV64"
  }
  expect_failures = [var.cpu_architecture]
}

run "refuses_a_service_for_a_cluster" {
  command = plan
  variables {
    cluster_arn = "arn:aws:ecs:eu-west-1:123456789012:service/analysis/analysis"
  }
  expect_failures = [var.cluster_arn]
}
