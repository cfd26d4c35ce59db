# A plan before anything is there: what AWS names only when it is made must not decide what is made.

mock_provider "aws" {
  alias = "primary"
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
}

mock_provider "aws" {
  alias = "secondary"
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
}

variables {
  primary   = { region = "eu-west-1", name = "speech-dublin", availability_zones = ["eu-west-1a", "eu-west-1b"] }
  secondary = { region = "eu-central-1", name = "speech-frankfurt", availability_zones = ["eu-central-1a", "eu-central-1b"] }
  image_tag = "1.4.0"
}

run "both_fleets_can_be_planned_before_there_is_a_secret" {
  command = plan
  assert {
    condition     = length(aws_s3_bucket_replication_configuration.to_primary) == 2 && length(aws_s3_bucket_replication_configuration.to_secondary) == 2
    error_message = "Recordings and references must be copied both ways."
  }
}

run "s3_may_take_the_replication_role" {
  command = plan
  assert {
    condition     = !can(jsondecode(aws_iam_role.replication.assume_role_policy).Statement[0].Condition)
    error_message = "S3's documentation names no condition that replication would fulfil."
  }
}
