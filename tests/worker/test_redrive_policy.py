from __future__ import annotations

import json

import pytest

from worker.redrive_policy import RedrivePolicy


@pytest.mark.parametrize("receives", [5, "5"])
def test_a_policy_names_the_dead_letter_queue_its_account_and_the_receives(
    receives: int | str,
) -> None:
    policy = {
        "deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:jobs-dlq.fifo",
        "maxReceiveCount": receives,
    }
    assert RedrivePolicy.of({"RedrivePolicy": json.dumps(policy)}) == RedrivePolicy(
        "jobs-dlq.fifo", "123456789012", 5
    )


@pytest.mark.parametrize("attributes", [{}, {"RedrivePolicy": ""}, {"VisibilityTimeout": "60"}])
def test_a_queue_without_a_policy_has_none(attributes: dict[str, str]) -> None:
    assert RedrivePolicy.of(attributes) is None
