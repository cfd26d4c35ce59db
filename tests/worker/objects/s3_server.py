"""A server in S3's place, and reading objects from it as the worker does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from worker.aws import AwsClients
from worker.failures import JobFailure
from worker.locations import S3Location
from worker.storage import Storage

PLACE = S3Location("things", "Heath Ledger/한국어 1.wav")
ETAG = '"e1"'

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class S3Server:
    """A server in S3's place, which tells a request of ours from one of the SDK's own call."""

    def __init__(self) -> None:
        self.by_us: list[web.Request] = []
        self.by_sdk: list[web.Request] = []
        self.ours: Answer = found
        self.sdks: Answer = found

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_sdks = "amz-sdk-invocation-id" in request.headers
        (self.by_sdk if is_sdks else self.by_us).append(request)
        return await (self.sdks if is_sdks else self.ours)(request)

    def forget(self) -> None:
        """Count from here on."""
        self.by_us.clear()
        self.by_sdk.clear()

    def refuse(self, status: int, code: str, *, also_sdks: bool = True) -> None:
        async def refused(_: web.Request) -> web.StreamResponse:
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
            return web.Response(status=status, text=body, content_type="application/xml")

        self.ours = refused
        self.sdks = refused if also_sdks else self.sdks


async def found(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"sound", headers={"ETag": ETAG, "x-amz-request-id": "R1"})


async def unless_changed(request: web.Request) -> web.StreamResponse:
    if request.headers.get("If-None-Match") == ETAG:
        return web.Response(status=304)
    return await found(request)


async def never(_: web.Request) -> web.StreamResponse:
    """Answer no more; cancelled when the connection is closed."""
    await asyncio.Event().wait()
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    """Answer nothing, and hang up."""
    assert request.transport
    request.transport.abort()
    return web.Response()


def through_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server answer for every host, as a proxy does."""
    monkeypatch.setenv("HTTP_PROXY", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.invalid")


def storage_of(clients: AwsClients) -> Storage:
    return Storage(clients.s3, clients.objects)


async def fetch(clients: AwsClients, place: S3Location = PLACE, max_bytes: int = 100) -> bytes:
    return (await storage_of(clients).fetch(place, what="recording", max_bytes=max_bytes)).data


async def failure(clients: AwsClients) -> JobFailure:
    with pytest.raises(JobFailure) as raised:
        await fetch(clients)
    return raised.value
