"""Objects by one signed request: read without the SDK's own call, to their end or the cap."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import get_session
from aiohttp import web

from tests.worker.objects.s3_server import (
    ETAG,
    PLACE,
    S3Server,
    failure,
    fetch,
    found,
    never,
    storage_of,
    unless_changed,
)
from worker import aws
from worker.aws import AwsClients, open_clients
from worker.failures import ErrorCode


async def test_one_request_reads_an_object(server: S3Server, clients: AwsClients) -> None:
    assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (1, 0)
    assert server.by_us[0].headers["User-Agent"] == aws.USER_AGENT
    reply = await clients.objects.get(PLACE)
    reply["Body"].close()
    assert reply["ResponseMetadata"]["RequestId"] == "R1"


async def test_an_unchanged_object_is_asked_about_once(
    server: S3Server, clients: AwsClients
) -> None:
    server.ours = unless_changed
    storage = storage_of(clients)
    first = await storage.fetch(PLACE, what="TextGrid", max_bytes=100, shared=True)
    assert await storage.fetch(PLACE, what="TextGrid", max_bytes=100, shared=True) is first
    assert (len(server.by_us), len(server.by_sdk)) == (2, 0)


async def test_a_body_in_chunks_is_read_to_its_end_and_no_further_than_the_cap(
    server: S3Server, clients: AwsClients
) -> None:
    pieces = [b"so", b"und"]

    async def in_chunks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": ETAG})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    server.ours = in_chunks
    assert await fetch(clients) == b"sound"
    pieces[:] = [bytes(60)] * 1000
    assert (await failure(clients)).code is ErrorCode.INPUT_TOO_LARGE
    assert not server.by_sdk


async def test_a_length_above_the_cap_is_refused_unread(
    server: S3Server, clients: AwsClients
) -> None:
    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(101))

    server.ours = large
    assert (await failure(clients)).code is ErrorCode.INPUT_TOO_LARGE
    assert not server.by_sdk


async def test_a_body_that_breaks_off_is_tried_again_later(
    server: S3Server, clients: AwsClients
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": ETAG, "Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport
        request.transport.close()
        return response

    server.ours = half
    assert (await failure(clients)).code is ErrorCode.STORAGE_UNAVAILABLE


async def test_a_body_that_stalls_is_given_up_and_its_connection_closed(
    server: S3Server, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": ETAG, "Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        try:
            return await never(request)
        finally:
            closed.set()

    configured = aws.config
    monkeypatch.setattr(
        aws, "config", lambda **options: configured(**options | {"read_timeout_s": 0.2})
    )
    async with open_clients(wait_time_s=0) as clients:
        server.ours = found
        await fetch(clients)
        server.ours = stall
        assert (await failure(clients)).code is ErrorCode.STORAGE_UNAVAILABLE
        await asyncio.wait_for(closed.wait(), 10)


async def test_a_job_that_is_stopped_lets_go_of_its_connection(
    server: S3Server, clients: AwsClients
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait_for_end(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            return await never(request)
        finally:
            ended.set()

    server.ours = wait_for_end
    fetching = asyncio.create_task(fetch(clients))
    await asyncio.wait_for(begun.wait(), 10)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await asyncio.wait_for(ended.wait(), 10)
    server.ours = found
    assert await fetch(clients) == b"sound"
    assert not server.by_sdk


async def test_requests_are_signed_with_the_credentials_that_the_sdk_has_refreshed(
    server: S3Server,
) -> None:
    numbers = iter(range(1, 10))

    async def refresh() -> dict[str, str]:
        return {
            "access_key": f"KEY{next(numbers)}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(),
        }

    session: Any = get_session()
    session._credentials = AioRefreshableCredentials.create_from_metadata(
        metadata=await refresh(), refresh_using=refresh, method="test"
    )
    async with open_clients(wait_time_s=0, session=session) as clients:
        for _ in range(3):
            await fetch(clients)
    signatures = [request.headers["Authorization"] for request in server.by_us]
    keys = [signed.partition("Credential=")[2].partition("/")[0] for signed in signatures]
    assert keys == sorted(set(keys))
    assert len(keys) == 2
    assert all("x-amz-security-token" in signed for signed in signatures)
    assert all(request.headers["X-Amz-Security-Token"] == "token" for request in server.by_us)
