output "vpc_id" {
  description = "ID of the VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "IDs of the private subnets, one per zone, for the tasks."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]

  # A task that starts before its way out is there cannot pull its image.
  depends_on = [
    aws_route_table_association.private,
    aws_route_table_association.public,
    aws_vpc_endpoint.s3,
    aws_vpc_endpoint.interface,
    aws_vpc_security_group_ingress_rule.endpoints_https,
  ]
}

output "nat_public_ips" {
  description = "Addresses that webhooks come from: for the consumers' allow-lists."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}
