"""What must be there before what: read off terraform's own graph of the resources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.check_infra import RegistryUnreachableError, Terraform
from tests.infra.hcl import INFRA

_EDGE = re.compile(r'^\s*"([^"]+)" -> "([^"]+)";$', re.MULTILINE)


def waits_for(terraform: Terraform, folder: Path, resource: str) -> set[str]:
    """All that is made before a resource, near and far."""
    try:
        prepared = terraform.init(folder)
    except RegistryUnreachableError:
        pytest.skip("the Terraform registry cannot be reached and TERRAFORM_WRAPPER is not set")
    assert prepared.returncode == 0, prepared.stdout
    graph = terraform.run(folder, "graph").stdout
    edges = _EDGE.findall(graph)
    assert f'"{resource}" [' in graph, graph
    found: set[str] = set()
    ahead = {resource}
    while ahead:
        found |= ahead
        ahead = {before for after, before in edges if after in ahead} - found
    return found - {resource}


def test_a_queue_is_named_by_its_dead_letter_queue_before_it_names_it(
    terraform: Terraform,
) -> None:
    before = waits_for(terraform, INFRA, "module.queues.aws_sqs_queue_redrive_policy.source")
    assert "module.queues.aws_sqs_queue_redrive_allow_policy.dead_letter" in before


@pytest.mark.parametrize(
    "first",
    [
        "module.queues.aws_sqs_queue_redrive_policy.source",  # refused at start without it
        "module.iam.aws_iam_role_policy.worker",
        "module.iam.aws_iam_role_policy.execution",
    ],
)
def test_a_worker_starts_when_it_can_work(terraform: Terraform, first: str) -> None:
    assert first in waits_for(terraform, INFRA, "module.service.aws_ecs_service.this")


def test_the_sweep_starts_when_it_may_sweep(terraform: Terraform) -> None:
    before = waits_for(terraform, INFRA, "module.sweep.aws_scheduler_schedule.this")
    assert "module.iam.aws_iam_role_policy.sweeper" in before


@pytest.mark.parametrize(
    "first",
    [
        "module.network.aws_route_table_association.private",
        "module.network.aws_nat_gateway.this",
        "module.network.aws_route_table_association.public",
        "module.network.aws_vpc_endpoint.s3",
        "module.network.aws_vpc_endpoint.interface",
        "module.network.aws_vpc_security_group_ingress_rule.endpoints_https",
    ],
)
def test_a_worker_starts_when_it_has_a_way_out(terraform: Terraform, first: str) -> None:
    folder = INFRA / "examples" / "complete"
    assert first in waits_for(terraform, folder, "module.fleet.module.service.aws_ecs_service.this")


def test_an_instance_starts_when_it_may_pull_its_image(terraform: Terraform) -> None:
    before = waits_for(terraform, INFRA / "examples" / "ec2", "aws_autoscaling_group.this")
    assert "aws_iam_role_policy.instance" in before
    assert "module.iam.aws_iam_role_policy.worker" in before


@pytest.mark.parametrize("way", ["to_primary", "to_secondary"])
@pytest.mark.parametrize("place", ["primary", "secondary"])
def test_buckets_are_versioned_before_they_are_copied(
    terraform: Terraform, way: str, place: str
) -> None:
    folder = INFRA / "examples" / "two-regions"
    before = waits_for(terraform, folder, f"aws_s3_bucket_replication_configuration.{way}")
    assert f"module.fleet_{place}.module.storage.aws_s3_bucket_versioning.this" in before


FIRST_APPLIES = {
    "complete": "docs/deploy.md",
    "two-regions": "infra/examples/two-regions/README.md",
}


@pytest.mark.parametrize("example", FIRST_APPLIES)
def test_what_the_first_apply_targets_is_there(terraform: Terraform, example: str) -> None:
    text = (INFRA.parent / FIRST_APPLIES[example]).read_text(encoding="utf-8")
    targets = re.findall(r"-target=(\S+)", text)
    assert targets
    for target in targets:
        waits_for(terraform, INFRA / "examples" / example, target)


def test_the_image_is_copied_from_the_first_push_on() -> None:
    text = (INFRA.parent / FIRST_APPLIES["two-regions"]).read_text(encoding="utf-8")
    assert "-target=aws_ecr_replication_configuration.this" in text
