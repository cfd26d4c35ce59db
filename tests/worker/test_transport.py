"""One exchange with a consumer: answers that never end, are cut off, too long or no HTTP."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from worker.contract import Addressee, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.transport import MAX_ANSWER_BYTES, MAX_RETRY_AFTER_S, retry_after_s
from worker.webhook import WebhookSender

EVENT = build_event(
    EventType.COMPLETED,
    Addressee("take-42", "https://consumer.example.com/", "D7-hk46bT8I"),
    attempt=1,
    progress=100,
    message="Analysis completed: 안녕 – “scored”.",
    result=b'{"scores":{"overall":81.5}}',
)


OpenSender = Callable[..., Awaitable[WebhookSender]]


async def swallow(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await swallow(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drips_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await swallow(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def cuts_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await swallow(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def speaks_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await swallow(reader)
    writer.write(b"220 mail.example.com ESMTP\r\n")
    await writer.drain()


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await swallow(reader)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await swallow(reader)
    writer.transport.abort()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (never_answers, "did not answer within 0.2 s"),
        (drips, "did not answer within 0.2 s"),
        (drips_headers, "did not answer within 0.2 s"),
        (cuts_off, "closed the connection"),
        (speaks_no_http, "no HTTP"),
        (says_nothing, "closed the connection"),
        (resets, "connection"),
    ],
)
async def test_a_consumer_that_misbehaves_is_tried_thrice_and_no_longer_than_the_timeout(
    behaviour: Any,
    reason: str,
    open_raw_consumer: Any,
    open_sender: OpenSender,
    attempt_metrics: Any,
) -> None:
    url = await open_raw_consumer(behaviour)
    sender = await open_sender(webhook_timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(JobFailure, match=reason) as raised:
        await sender.deliver(url, EVENT)
    assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE
    assert time.monotonic() - started < 2.5
    assert attempt_metrics.attempts == ["transport"] * 3


@pytest.mark.usefixtures("quick")
async def test_nobody_there_is_a_transport_error(
    open_sender: OpenSender, unused_tcp_port: int
) -> None:
    with pytest.raises(JobFailure, match="refused the connection") as raised:
        await (await open_sender()).deliver(f"http://127.0.0.1:{unused_tcp_port}/", EVENT)
    assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE


async def test_no_more_than_64_kb_of_an_answer_is_read(
    open_raw_consumer: Any, open_sender: OpenSender
) -> None:
    written = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await swallow(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"." * 65536)
            await writer.drain()
            written += 65536

    await (await open_sender()).deliver(await open_raw_consumer(floods), EVENT)
    # What lies in the sockets' buffers was written and never read.
    assert written < MAX_ANSWER_BYTES + 16 * 2**20


async def test_a_packed_answer_is_not_unpacked(
    open_consumer: Any, open_sender: OpenSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    assert len(bomb) < MAX_ANSWER_BYTES

    async def explode(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    def unpacked(*_: object) -> None:
        raise AssertionError("an answer was unpacked")

    monkeypatch.setattr("zlib.decompressobj", unpacked)
    consumer = await open_consumer(handler=explode)
    await (await open_sender()).deliver(consumer.url, EVENT)
    assert len(consumer.received) == 1


# --- Retry-After


NOW = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 30 ", 30),
        ("3601", MAX_RETRY_AFTER_S),
        ("9" * 400, MAX_RETRY_AFTER_S),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2026 07:28:30", 30),
        ("Wednesday, 21-Oct-26 07:28:30 GMT", 30),
        ("Wed Oct 21 07:28:30 2026", 30),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("Fri, 99 Foo 2026", None),
        ("Mon, 99999999999 Jan 2026 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER_S),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after_s(header, NOW) == seconds


async def test_an_event_that_was_taken_is_not_lost_to_what_its_header_says(
    open_sender: OpenSender, open_consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(header: str | None) -> float | None:
        raise AssertionError("the header of a taken event was read")

    monkeypatch.setattr("worker.transport.retry_after_s", unreadable)

    async def take(_: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Retry-After": "soon"})

    consumer = await open_consumer(handler=take)
    await (await open_sender()).deliver(consumer.url, EVENT)
    assert len(consumer.received) == 1
