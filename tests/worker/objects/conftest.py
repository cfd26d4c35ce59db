"""A server in S3's place, clients that know where its bucket is, and what they log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.worker.aws_server import heard, running
from tests.worker.objects.s3_server import S3Server, fetch
from worker import objects
from worker.aws import AwsClients, open_clients


@pytest_asyncio.fixture
async def server(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    made = S3Server()
    async with running(made, monkeypatch):
        yield made


@pytest_asyncio.fixture
async def clients(server: S3Server) -> AsyncIterator[AwsClients]:
    """Clients that have read an object of `PLACE`'s bucket, so that they know where it is."""
    async with open_clients(wait_time_s=0) as opened:
        await fetch(opened)
        server.forget()
        yield opened


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is logged of buckets that are left to the SDK."""
    return heard(objects, monkeypatch)
