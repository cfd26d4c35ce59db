"""What is refused: named as the SDK names it, and left to the SDK where it alone is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from tests.worker.aws_server import cut
from tests.worker.objects.s3_server import PLACE, S3Server, failure, fetch, found
from worker import sdk_ways
from worker.aws import AwsClients, open_clients
from worker.failures import ErrorCode
from worker.sdk_ways import LEFT_TO_SDK_S


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ErrorCode.NOT_FOUND),
        (404, "NoSuchBucket", ErrorCode.NOT_FOUND),
        (403, "AccessDenied", ErrorCode.ACCESS_DENIED),
        (403, "SignatureDoesNotMatch", ErrorCode.CREDENTIALS_EXPIRED),
        (400, "ExpiredToken", ErrorCode.CREDENTIALS_EXPIRED),
        (503, "SlowDown", ErrorCode.STORAGE_UNAVAILABLE),
    ],
)
async def test_what_is_refused_is_named_as_the_sdk_names_it(
    server: S3Server, clients: AwsClients, status: int, code: str, expected: ErrorCode
) -> None:
    server.refuse(status, code)
    assert (await failure(clients)).code is expected
    assert len(server.by_us) == 1
    assert len(server.by_sdk) == (3 if status == 503 else 1)


@pytest.mark.parametrize("refusal", [301, 307, 400, 403, "ServerDisconnectedError"])
async def test_a_bucket_that_answers_the_sdk_alone_is_left_to_it_for_a_while(
    server: S3Server,
    clients: AwsClients,
    said: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    refusal: int | str,
) -> None:
    now = 1000.0
    monkeypatch.setattr(sdk_ways, "monotonic", lambda: now)
    if isinstance(refusal, int):
        server.refuse(refusal, "Refused", also_sdks=False)
    else:
        server.ours = cut
    for _ in range(3):
        assert await fetch(clients) == b"sound"
    tries = len(server.by_us)  # aiohttp repeats what breaks off on a connection that was kept
    assert tries == 1 or refusal == "ServerDisconnectedError"
    assert len(server.by_sdk) == 3
    reason = f"status {refusal}" if isinstance(refusal, int) else refusal
    assert said == [("signed_request_refused", {"bucket": PLACE.bucket, "reason": reason})]

    server.ours = found
    now += LEFT_TO_SDK_S - 1
    await fetch(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (tries, 4)
    now += 1
    await fetch(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (tries + 1, 4)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_an_answer_that_may_be_another_in_a_moment_changes_nothing_for_its_bucket(
    server: S3Server, clients: AwsClients, said: list[Any], status: int
) -> None:
    server.refuse(status, "NotNow", also_sdks=False)
    assert await fetch(clients) == b"sound"
    server.ours = found
    assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (2, 1)
    assert not said


@pytest.mark.parametrize("status", [403, 404])
async def test_what_the_sdk_is_refused_as_well_changes_nothing_for_its_bucket(
    server: S3Server, clients: AwsClients, said: list[Any], status: int
) -> None:
    server.refuse(status, "Refused")
    for _ in range(2):
        await failure(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (2, 2)
    assert not said


async def test_many_refused_at_once_leave_their_bucket_once(
    server: S3Server, clients: AwsClients, said: list[Any]
) -> None:
    server.refuse(403, "Refused", also_sdks=False)
    await asyncio.gather(*(fetch(clients) for _ in range(8)))
    assert len(said) == 1


async def test_no_answer_at_all_is_storage_unavailable(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        async with open_clients(wait_time_s=0) as clients:
            assert (await failure(clients)).code is ErrorCode.STORAGE_UNAVAILABLE


async def test_without_credentials_the_failure_says_so(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    async with open_clients(wait_time_s=0) as clients:
        assert (await failure(clients)).code is ErrorCode.CREDENTIALS_EXPIRED
