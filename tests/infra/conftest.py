"""Terraform for the tests of infra/: found, or a visible skip that says what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.check_infra import RegistryUnreachableError, Terraform

INFRA = Path(__file__).parents[2] / "infra"


@pytest.fixture(scope="session")
def terraform() -> Terraform:
    """The machine's terraform, through TERRAFORM_WRAPPER where that is set."""
    found = Terraform.find()
    if found is None:
        pytest.skip("terraform is not installed")
    return found


def rendered(terraform: Terraform, module: str, run: str) -> dict[str, Any]:
    """A module's resources by address, as a run of its terraform tests makes them."""
    folder = INFRA / "modules" / module if module else INFRA
    try:
        prepared = terraform.init(folder)
    except RegistryUnreachableError:
        pytest.skip("the Terraform registry cannot be reached and TERRAFORM_WRAPPER is not set")
    assert prepared.returncode == 0, prepared.stdout
    done = terraform.run(folder, "test", "-json", "-verbose")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    states = [
        line["test_state"] for line in lines if line.get("@testrun") == run and "test_state" in line
    ]
    assert len(states) == 1, done.stdout
    return dict(_resources(states[0]["root_module"]))


def _resources(module: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in module.get("resources", []):
        yield resource["address"], resource["values"]
    for child in module.get("child_modules", []):
        yield from _resources(child)


@pytest.fixture(scope="session")
def rendered_iam(terraform: Terraform) -> dict[str, Any]:
    """The IAM module's resources by address, as its test run `rendered` makes them."""
    return rendered(terraform, "iam", "rendered")
