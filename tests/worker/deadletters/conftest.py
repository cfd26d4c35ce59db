"""The dead-letter queue that these tests fill, in moto, and one SDK session for all of them."""

from __future__ import annotations

import boto3
import pytest
from aiobotocore.session import AioSession, get_session

from tests.worker.queues import Queues, make_queues
from worker import aws, deadletters


@pytest.fixture(scope="session")
def session() -> AioSession:
    """One for all tests here: to read botocore's models anew takes longer than most of them."""
    return get_session()


@pytest.fixture(autouse=True)
def _shared_session(monkeypatch: pytest.MonkeyPatch, session: AioSession) -> None:
    monkeypatch.setattr(aws, "get_session", lambda: session)


@pytest.fixture(autouse=True)
def _moto_hides_nothing_from_a_short_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "WAIT_S", 0)
    monkeypatch.setattr(deadletters, "STALE_POLLS", 3)


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    clean_environment.setenv("WORKER_QUEUE_URL", made.main)
    return made
