"""Terraform for the tests of infra/: found, or a visible skip that says what is missing."""

from __future__ import annotations

import json
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


@pytest.fixture(scope="session")
def rendered_iam(terraform: Terraform) -> dict[str, Any]:
    """The IAM module's resources by address, as its test run `rendered` makes them."""
    folder = INFRA / "modules" / "iam"
    try:
        prepared = terraform.init(folder)
    except RegistryUnreachableError:
        pytest.skip("the Terraform registry cannot be reached and TERRAFORM_WRAPPER is not set")
    assert prepared.returncode == 0, prepared.stdout
    done = terraform.run(folder, "test", "-json", "-verbose")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    states = [
        line["test_state"]
        for line in lines
        if line.get("@testrun") == "rendered" and "test_state" in line
    ]
    assert len(states) == 1, done.stdout
    resources = states[0]["root_module"]["resources"]
    return {resource["address"]: resource["values"] for resource in resources}
