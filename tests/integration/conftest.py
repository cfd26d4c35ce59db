"""The worker as a real process against real servers: AWS, a gateway to it, and a consumer.

`TEST_AWS_ENDPOINT_URL` names the SQS- and S3-compatible server to run against; moto by default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.account import Account
from tests.integration.gateway import Gateway
from tests.integration.inbox import Inbox
from tests.integration.worker_process import WorkerProcess

ENDPOINT_VARIABLE = "TEST_AWS_ENDPOINT_URL"
CHOSEN_ENDPOINT = os.environ.get(ENDPOINT_VARIABLE)


class Launch(Protocol):
    """Starts a worker on queues and waits until it is ready."""

    def __call__(
        self,
        queues: str,
        *,
        endpoint: str | None = None,
        wait: bool = True,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        env_file: str | None = None,
        **settings: object,
    ) -> WorkerProcess: ...


@pytest.fixture(scope="session")
def account(request: pytest.FixtureRequest) -> Account:
    """The AWS account of all integration tests; each makes queues and buckets of its own."""
    endpoint = CHOSEN_ENDPOINT or request.getfixturevalue("moto_server")
    return Account(endpoint)


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    """A consumer that takes every event."""
    with Inbox() as consumer:
        yield consumer


@pytest.fixture(scope="module")
def other_inbox() -> Iterator[Inbox]:
    """A second consumer: what it refuses closes no breaker of the first."""
    with Inbox() as consumer:
        yield consumer


@pytest.fixture
def gateway(account: Account) -> Iterator[Gateway]:
    """A gateway between a worker and AWS, with no fault yet."""
    with Gateway(account.endpoint) as between:
        yield between


@pytest.fixture(scope="module")
def module_gateway(account: Account) -> Iterator[Gateway]:
    """The same for all tests of a module."""
    with Gateway(account.endpoint) as between:
        yield between


@pytest.fixture
def launch(account: Account, tmp_path: Path) -> Iterator[Launch]:
    """Start workers that end with the test."""
    yield from _launching(account, tmp_path)


@pytest.fixture(scope="module")
def module_launch(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Start workers that all tests of a module share."""
    yield from _launching(account, tmp_path_factory.mktemp("workers"))


def _launching(account: Account, folder: Path) -> Iterator[Launch]:
    # A file of the developer's own in the working folder does not reach a worker: each has its own.
    started: list[WorkerProcess] = []

    def start(
        queues: str,
        *,
        endpoint: str | None = None,
        wait: bool = True,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        env_file: str | None = None,
        **settings: object,
    ) -> WorkerProcess:
        own = folder / f"worker-{len(started)}"
        own.mkdir()
        worker = WorkerProcess(
            own,
            endpoint or account.endpoint,
            queues,
            arguments=arguments,
            environment=environment,
            env_file=env_file,
            **settings,
        )
        started.append(worker)
        return worker.wait_until_ready() if wait else worker

    try:
        yield start
    finally:
        for worker in started:
            worker.destroy()
