"""The IAM policies as terraform renders them, tried on a server that enforces them.

worker_calls.json says which calls are made: `recorded` ones were seen by a proxy while the
integration tests ran (scripts/infra/record_calls.py), `derived` ones cannot be played locally or
belong to a command of which the design says so, and each says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.check_infra import Terraform
from tests.infra.conftest import rendered
from tests.infra.enforcing_account import (
    ACCOUNT_ID,
    REGION,
    EnforcingAccount,
    action_of,
    enforcing_account,
    without_action,
)

CALLS: list[dict[str, str]] = json.loads(
    (Path(__file__).parent / "worker_calls.json").read_text(encoding="utf-8")
)["calls"]

POLICIES = {
    "worker": "aws_iam_role_policy.worker",
    "sweeper": "aws_iam_role_policy.sweeper",
    "execution": "aws_iam_role_policy.execution",
    "producer": "aws_iam_policy.producer",
    "operator": "aws_iam_policy.operator",
}

NEVER = [
    *(("sqs", operation, "work_queue") for operation in ("PurgeQueue", "DeleteQueue")),
    *(("sqs", operation, "dead_letter_queue") for operation in ("PurgeQueue", "DeleteQueue")),
    ("sqs", "SetQueueAttributes", "work_queue"),
    ("sqs", "AddPermission", "work_queue"),
    ("sqs", "ReceiveMessage", "other_queue"),
    ("sqs", "SendMessage", "other_queue"),
    ("s3", "GetObject", "others_object"),
    ("s3", "ListObjectsV2", "other_bucket"),
    ("s3", "GetObject", "other_prefix"),
    ("s3", "PutObject", "other_prefix"),
    ("s3", "GetObject", "beside_results"),
    ("s3", "PutObject", "beside_results"),
    ("s3", "DeleteObject", "input"),
    ("s3", "PutObject", "reference"),
    ("s3", "DeleteBucket", "input_bucket"),
    ("s3", "PutBucketPolicy", "results_bucket"),
    ("iam", "CreateUser", "mallory"),
    ("secretsmanager", "GetSecretValue", "other_secret"),
    ("secretsmanager", "PutSecretValue", "webhook_secret"),
    ("ecs", "UpdateTaskProtection", "other_task"),
    ("ecs", "StopTask", "own_task"),
    ("logs", "PutLogEvents", "other_log_group"),
    ("ecr", "BatchGetImage", "other_repository"),
    ("ecr", "PutImage", "repository"),
]
"""Nobody may do these, whoever they are."""

REFUSED = {
    "worker": [
        ("s3", "PutObject", "input"),
        ("s3", "DeleteObject", "results/"),
        ("s3", "DeleteObject", "results/delivered/"),
        ("sqs", "SendMessage", "work_queue"),
        ("sqs", "ReceiveMessage", "dead_letter_queue"),
        ("sqs", "DeleteMessage", "dead_letter_queue"),
        ("sqs", "ReceiveMessage", "result_queue"),
    ],
    "sweeper": [
        ("s3", "GetObject", "input"),
        ("s3", "PutObject", "input"),
        ("s3", "DeleteObject", "results/"),
        ("sqs", "ReceiveMessage", "work_queue"),
        ("sqs", "SendMessage", "work_queue"),
        ("ecs", "UpdateTaskProtection", "own_task"),
    ],
    "execution": [
        ("s3", "GetObject", "input"),
        ("sqs", "ReceiveMessage", "work_queue"),
        ("secretsmanager", "GetSecretValue", "webhook_secret"),
    ],
    "producer": [
        ("sqs", "ReceiveMessage", "work_queue"),
        ("sqs", "DeleteMessage", "work_queue"),
        ("sqs", "SendMessage", "dead_letter_queue"),
        ("sqs", "ReceiveMessage", "result_queue"),
        ("s3", "GetObject", "input"),
        ("s3", "GetObject", "results/"),
        ("s3", "PutObject", "results/"),
        ("secretsmanager", "GetSecretValue", "webhook_secret"),
    ],
    "operator": [
        ("sqs", "ReceiveMessage", "work_queue"),
        ("sqs", "DeleteMessage", "work_queue"),
        ("s3", "GetObject", "input"),
        ("s3", "GetObject", "results/"),
        ("secretsmanager", "GetSecretValue", "webhook_secret"),
        ("ecs", "UpdateTaskProtection", "own_task"),
    ],
}


@pytest.fixture(scope="module")
def account() -> Iterator[EnforcingAccount]:
    with enforcing_account() as account:
        yield account


@pytest.fixture
def policies(rendered_iam: dict[str, Any]) -> dict[str, str]:
    return {name: rendered_iam[address]["policy"] for name, address in POLICIES.items()}


@pytest.mark.parametrize(
    "call", CALLS, ids=lambda c: f"{c['caller']}: {c['service']}:{c['operation']} on {c['target']}"
)
def test_every_call_that_is_made_is_allowed(
    call: dict[str, str], account: EnforcingAccount, policies: dict[str, str]
) -> None:
    caller = account.caller(policies[call["caller"]])
    assert caller.is_allowed(call["service"], call["operation"], call["target"])


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_what_nobody_may_do_is_refused(
    name: str, account: EnforcingAccount, policies: dict[str, str]
) -> None:
    caller = account.caller(policies[name])
    assert [call for call in NEVER if caller.is_allowed(*call)] == []


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_anothers_business_is_refused(
    name: str, account: EnforcingAccount, policies: dict[str, str]
) -> None:
    caller = account.caller(policies[name])
    assert [call for call in REFUSED[name] if caller.is_allowed(*call)] == []


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_action_that_is_allowed_is_used(name: str, policies: dict[str, str]) -> None:
    statements = json.loads(policies[name])["Statement"]
    allowed = {action for statement in statements for action in statement["Action"]}
    used = {action_of(c["service"], c["operation"]) for c in CALLS if c["caller"] == name}
    assert allowed - used == set()


def test_a_fleet_may_use_what_it_was_told_lies_elsewhere(terraform: Terraform) -> None:
    fleet = rendered(terraform, "", "rendered_with_what_lies_elsewhere")

    def resources_of(role: str, action: str) -> set[str]:
        policy = json.loads(fleet[f"module.iam.aws_iam_role_policy.{role}"]["policy"])
        named = [s["Resource"] for s in policy["Statement"] if action in s["Action"]]
        return {arn for some in named for arn in ([some] if isinstance(some, str) else some)}

    repository = f"arn:aws:ecr:{REGION}:{ACCOUNT_ID}:repository"
    pulled = {f"{repository}/speech", f"{repository}/other"}
    assert resources_of("execution", "ecr:BatchGetImage") == pulled
    key = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key"
    own, other = (
        f"{key}/11111111-2222-3333-4444-555555555555",
        f"{key}/66666666-7777-8888-9999-000000000000",
    )
    for role in ("worker", "sweeper"):
        assert resources_of(role, "kms:Decrypt") == {own, other}
        assert resources_of(role, "kms:GenerateDataKey") == {own}


@pytest.mark.parametrize("action", ["sqs:DeleteMessage", "s3:GetObject", "s3:PutObject"])
def test_a_policy_that_lacks_an_action_is_caught(
    action: str, account: EnforcingAccount, policies: dict[str, str]
) -> None:
    caller = account.caller(without_action(policies["worker"], action))
    refused = [
        call["operation"]
        for call in CALLS
        if call["caller"] == "worker"
        and not caller.is_allowed(call["service"], call["operation"], call["target"])
    ]
    assert refused


def test_the_workers_calls_were_recorded_and_not_guessed() -> None:
    worker = [call for call in CALLS if call["caller"] == "worker"]
    recorded = {call["operation"] for call in worker if call["how"] == "recorded"}
    assert {"ReceiveMessage", "DeleteMessageBatch", "GetObject", "PutObject"} <= recorded


def test_what_was_derived_says_why() -> None:
    assert [call for call in CALLS if call["how"] == "derived" and not call.get("why")] == []
