output "primary_queue_urls" {
  description = "Where producers send."
  value       = module.fleet_primary.queue_urls
}

output "secondary_queue_urls" {
  description = "Where producers send when the primary does not answer."
  value       = module.fleet_secondary.queue_urls
}

output "buckets" {
  description = "Buckets of both regions."
  value       = { primary = module.fleet_primary.bucket_names, secondary = module.fleet_secondary.bucket_names }
}

output "producer_policy_arns" {
  description = "A producer that fails over needs both."
  value       = [module.fleet_primary.producer_policy_arn, module.fleet_secondary.producer_policy_arn]
}

output "webhook_secret_arn" {
  description = "Put the keys here, once: the copy follows."
  value       = module.fleet_primary.webhook_secret_arn
}
