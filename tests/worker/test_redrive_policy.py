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


POLICY = RedrivePolicy("jobs-dlq", "123456789012", 5)


@pytest.mark.parametrize(
    "before",
    [
        "https://sqs.eu-west-1.amazonaws.com/",
        "http://127.0.0.1:5000/",
        "http://localhost:4566/queue/us-east-1/",
    ],
)
def test_the_dead_letter_queue_stands_beside_its_queue(before: str) -> None:
    found = POLICY.dead_letter_url_beside(f"{before}123456789012/jobs")
    assert found == f"{before}123456789012/jobs-dlq"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9324/queue/jobs",
        "https://sqs.eu-west-1.amazonaws.com/210987654321/jobs",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs/",
        "jobs",
    ],
)
def test_a_url_that_does_not_end_in_account_and_name_says_nothing(url: str) -> None:
    assert POLICY.dead_letter_url_beside(url) is None
