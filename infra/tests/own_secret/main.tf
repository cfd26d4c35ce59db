# A fleet beside a secret that is made with it, whose ARN is not known in the plan.

resource "aws_secretsmanager_secret" "own" {
  name = "own"
}

module "fleet" {
  source = "../.."

  name                  = "speech"
  vpc_id                = "vpc-0123456789abcdef0"
  subnet_ids            = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  image_tag             = "1.4.0"
  create_webhook_secret = false
  webhook_secret_arn    = aws_secretsmanager_secret.own.arn
}

output "webhook_secret_arn" {
  value = module.fleet.webhook_secret_arn
}
