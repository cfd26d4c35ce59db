output "vpc_id" {
  description = "ID of the VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "IDs of the private subnets, one per zone, for the tasks."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "nat_public_ips" {
  description = "Addresses that webhooks come from: for the consumers' allow-lists."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}
