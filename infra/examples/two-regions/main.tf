# The same fleet in a second region. Each region can do the whole work alone; what is written in
# one is copied to the other, and producers choose where to send (README.md).

provider "aws" {
  region = var.primary.region
  alias  = "primary"
}

provider "aws" {
  region = var.secondary.region
  alias  = "secondary"
}

data "aws_caller_identity" "this" {
  provider = aws.primary
}

################################################################################
# Two fleets
################################################################################

module "network_primary" {
  source    = "../../modules/network"
  providers = { aws = aws.primary }

  name               = var.primary.name
  cidr_block         = "10.60.0.0/16"
  availability_zones = var.primary.availability_zones
}

module "fleet_primary" {
  source    = "../.."
  providers = { aws = aws.primary }

  name                           = var.primary.name
  vpc_id                         = module.network_primary.vpc_id
  subnet_ids                     = module.network_primary.private_subnet_ids
  image_tag                      = var.image_tag
  min_tasks                      = var.primary.min_tasks
  max_tasks                      = var.max_tasks
  alarm_emails                   = var.alarm_emails
  webhook_secret_replica_regions = [var.secondary.region]
  further_inputs                 = [{ bucket_arn = local.bucket_arns.secondary.uploads }, { bucket_arn = local.bucket_arns.secondary.references }]
}

module "network_secondary" {
  source    = "../../modules/network"
  providers = { aws = aws.secondary }

  name               = var.secondary.name
  cidr_block         = "10.61.0.0/16" # so that the two can be joined one day
  availability_zones = var.secondary.availability_zones
}

module "fleet_secondary" {
  source    = "../.."
  providers = { aws = aws.secondary }

  name         = var.secondary.name
  vpc_id       = module.network_secondary.vpc_id
  subnet_ids   = module.network_secondary.private_subnet_ids
  min_tasks    = var.secondary.min_tasks
  max_tasks    = var.max_tasks # as many: alone, it does everything
  alarm_emails = var.alarm_emails

  # The copy of the image has the primary's name, so the tasks must be able to pull that repository.
  image                   = "${data.aws_caller_identity.this.account_id}.dkr.ecr.${var.secondary.region}.amazonaws.com/${var.primary.name}:${var.image_tag}"
  further_repository_arns = ["arn:aws:ecr:${var.secondary.region}:${data.aws_caller_identity.this.account_id}:repository/${var.primary.name}"]

  # The copy of the secret has the same name and suffix: only the region differs.
  create_webhook_secret = false
  webhook_secret_arn    = replace(module.fleet_primary.webhook_secret_arn, ":${var.primary.region}:", ":${var.secondary.region}:")
  further_inputs        = [{ bucket_arn = local.bucket_arns.primary.uploads }, { bucket_arn = local.bucket_arns.primary.references }]
}

################################################################################
# The image: pushed once, there twice
################################################################################

# Copies only what is pushed after it: it belongs into the first, targeted apply (README.md).
resource "aws_ecr_replication_configuration" "this" {
  provider = aws.primary

  replication_configuration {
    rule {
      destination {
        region      = var.secondary.region
        registry_id = data.aws_caller_identity.this.account_id
      }
      repository_filter {
        filter      = var.primary.name
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}

################################################################################
# References and recordings: each region's, copied to the other
################################################################################

locals {
  # Spelled out: taken from the modules' outputs, each fleet would wait for the other.
  bucket_arns = { for place, fleet in { primary = var.primary, secondary = var.secondary } : place => {
    for kind in ["uploads", "references"] : kind => "arn:aws:s3:::${fleet.name}-${kind}-${data.aws_caller_identity.this.account_id}-${fleet.region}"
  } }

  copied = ["uploads", "references"]
}

resource "aws_iam_role" "replication" {
  provider = aws.primary

  name = "${var.primary.name}-replication"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sts:AssumeRole" # no condition: S3's documentation names none that replication fulfils
    }]
  })
}

resource "aws_iam_role_policy" "replication" {
  provider = aws.primary

  name = "replicate"
  role = aws_iam_role.replication.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
        Resource = flatten([for place in values(local.bucket_arns) : values(place)])
      },
      {
        Effect = "Allow"
        Action = [
          "s3:GetObjectVersionForReplication",
          "s3:GetObjectVersionAcl",
          "s3:GetObjectVersionTagging",
          "s3:ReplicateObject",
          "s3:ReplicateDelete",
          "s3:ReplicateTags",
        ]
        Resource = flatten([for place in values(local.bucket_arns) : [for arn in values(place) : "${arn}/*"]])
      },
    ]
  })
}

resource "aws_s3_bucket_replication_configuration" "to_secondary" {
  provider = aws.primary
  for_each = toset(local.copied)

  bucket = module.fleet_primary.bucket_names[each.key]
  role   = aws_iam_role.replication.arn

  rule {
    id     = "to-${var.secondary.region}"
    status = "Enabled"
    filter {}
    delete_marker_replication {
      status = "Disabled" # each region's own lifecycle deletes
    }
    destination {
      bucket        = module.fleet_secondary.bucket_arns[each.key]
      storage_class = "STANDARD"
    }
  }
}

resource "aws_s3_bucket_replication_configuration" "to_primary" {
  provider = aws.secondary
  for_each = toset(local.copied)

  bucket = module.fleet_secondary.bucket_names[each.key]
  role   = aws_iam_role.replication.arn

  rule {
    id     = "to-${var.primary.region}"
    status = "Enabled"
    filter {}
    delete_marker_replication {
      status = "Disabled"
    }
    destination {
      bucket        = module.fleet_primary.bucket_arns[each.key]
      storage_class = "STANDARD"
    }
  }
}
