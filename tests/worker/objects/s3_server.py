"""A server in S3's place, and reading objects from it as the worker does."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.worker.aws_server import AwsServer
from worker.aws import AwsClients
from worker.failures import JobFailure
from worker.locations import S3Location
from worker.storage import Storage

PLACE = S3Location("things", "Heath Ledger/한국어 1.wav")
ETAG = '"e1"'


class S3Server(AwsServer):
    """A server in S3's place."""

    def __init__(self) -> None:
        super().__init__(found)

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


def storage_of(clients: AwsClients) -> Storage:
    return Storage(clients.s3, clients.objects)


async def fetch(clients: AwsClients, place: S3Location = PLACE, max_bytes: int = 100) -> bytes:
    return (await storage_of(clients).fetch(place, what="recording", max_bytes=max_bytes)).data


async def failure(clients: AwsClients) -> JobFailure:
    with pytest.raises(JobFailure) as raised:
        await fetch(clients)
    return raised.value
