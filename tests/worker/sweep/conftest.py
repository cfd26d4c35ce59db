"""Queues and a results bucket for a sweep, in moto, and one SDK session for all of its tests."""

from __future__ import annotations

import boto3
import pytest
from aiobotocore.session import AioSession, get_session

from tests.worker.queues import Queues, make_queues
from tests.worker.sweep.sweeping import BUCKET
from worker import aws, deadletters


@pytest.fixture(scope="session")
def session() -> AioSession:
    """One for all tests here: to read botocore's models anew takes longer than most of them."""
    return get_session()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, session: AioSession) -> None:
    monkeypatch.setattr(aws, "get_session", lambda: session)
    # moto hides nothing from a short poll.
    monkeypatch.setattr(deadletters, "WAIT_S", 0)


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    for name, value in {
        "WORKER_QUEUE_URL": made.main,
        "WORKER_RESULTS_BUCKET": BUCKET,
        "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
    }.items():
        clean_environment.setenv(name, value)
    return made
