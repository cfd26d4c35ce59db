output "fleet" {
  description = "Queues, buckets, repository, policies: all that the fleet says of itself."
  value       = module.fleet
}

output "repository_url" {
  description = "Where to push the image."
  value       = module.fleet.repository_url
}

output "webhook_secret_arn" {
  description = "Secret to put the webhook keys into."
  value       = module.fleet.webhook_secret_arn
}

output "webhook_source_addresses" {
  description = "Addresses that webhooks come from, for a consumer's allow-list."
  value       = module.network.nat_public_ips
}
