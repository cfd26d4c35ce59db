# Private tasks, one way out, AWS by private ways.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
}

variables {
  name               = "speech"
  availability_zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
}

run "no_task_subnet_has_a_way_in" {
  assert {
    condition     = alltrue([for t in aws_route_table.private : alltrue([for r in t.route : r.gateway_id != aws_internet_gateway.this.id])])
    error_message = "A private route table must not lead to the internet gateway."
  }
  assert {
    condition     = alltrue([for s in merge(aws_subnet.private, aws_subnet.public) : s.map_public_ip_on_launch != true])
    error_message = "No subnet may hand out public addresses."
  }
}

run "subnets_do_not_overlap" {
  assert {
    condition     = sort([for s in aws_subnet.private : s.cidr_block]) == tolist(["10.60.0.0/20", "10.60.16.0/20", "10.60.32.0/20"]) && sort([for s in aws_subnet.public : s.cidr_block]) == tolist(["10.60.240.0/24", "10.60.241.0/24", "10.60.242.0/24"])
    error_message = "Private subnets are sixteenths from the start, public ones 256ths at the end."
  }
}

run "one_nat_gateway_serves_all_unless_asked" {
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(output.nat_public_ips) == 1
    error_message = "By default one NAT gateway."
  }
}

run "a_nat_gateway_per_zone_when_asked" {
  variables {
    nat_gateway_per_zone = true
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(distinct([for t in aws_route_table.private : one([for r in t.route : r.nat_gateway_id])])) == 3
    error_message = "Each zone must leave through its own NAT gateway."
  }
}

run "what_the_worker_calls_has_an_endpoint" {
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "S3 must go through the gateway endpoint in every zone."
  }
  assert {
    condition     = length(setsubtract(["sqs", "ecr.api", "ecr.dkr", "logs", "secretsmanager"], keys(aws_vpc_endpoint.interface))) == 0 && alltrue([for e in aws_vpc_endpoint.interface : e.private_dns_enabled])
    error_message = "SQS, ECR, Logs and Secrets Manager must have endpoints that answer to their usual names."
  }
}

run "endpoints_take_https_from_the_vpc_alone" {
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints_https.cidr_ipv4 == "10.60.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints_https.to_port == 443
    error_message = "Endpoints must take HTTPS from the VPC and nothing else."
  }
}

run "refuses_a_single_zone" {
  command = plan
  variables {
    availability_zones = ["eu-west-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "refuses_a_vpc_too_small" {
  command = plan
  variables {
    cidr_block = "10.60.0.0/24"
  }
  expect_failures = [var.cidr_block]
}

run "refuses_a_paid_endpoint_for_s3" {
  command = plan
  variables {
    interface_endpoints = ["s3", "sqs"]
  }
  expect_failures = [var.interface_endpoints]
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "speech fleet"
  }
  expect_failures = [var.name]
}
