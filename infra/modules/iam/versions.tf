terraform {
  required_version = ">= 1.9" # validation blocks that look at other variables

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.8, < 7.0" # SQS messages of 1 MiB
    }
  }
}
