"""Whom a connection leads to, how long it is kept, and that none is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.worker.waiting import until
from worker.connections import CheckedResolver
from worker.contract import Addressee, Event, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.netguard import NetGuard
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


def event(number: int) -> Event:
    return build_event(
        EventType.COMPLETED,
        Addressee(f"job-{number}"),
        attempt=1,
        progress=100,
        message="Analysis completed.",
    )


async def swallow(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")


# --- the guard at work


async def test_a_refused_url_is_never_dialled(
    open_consumer: Any, open_sender: OpenSender, attempt_metrics: Any
) -> None:
    consumer = await open_consumer()
    sender = await open_sender(webhook_allow_private=False, webhook_allow_http=True)
    for attempt in (sender.check(consumer.url), sender.deliver(consumer.url, EVENT)):
        with pytest.raises(JobFailure) as raised:
            await attempt
        assert raised.value.code is ErrorCode.URL_REFUSED
    assert not await sender.attempt(consumer.url, EVENT)
    assert not consumer.received
    assert attempt_metrics.attempts == ["refused", "refused"]


async def test_a_name_that_rebinds_to_loopback_after_the_check_wins_nothing(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    answers = iter([("93.184.215.14",), ("127.0.0.1",)])

    async def rebinding(host: str, port: int) -> tuple[str, ...]:
        return next(answers)

    sender = await open_sender(
        webhook_allow_private=False, webhook_allow_http=True, resolver=rebinding
    )
    url = f"http://rebinding.attacker.test:{consumer.port}/hook"
    await sender.check(url)
    with pytest.raises(JobFailure, match="loopback") as raised:
        await sender.deliver(url, EVENT)
    assert raised.value.code is ErrorCode.URL_REFUSED
    assert not consumer.received


async def test_the_address_that_was_checked_is_the_one_that_is_dialled(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    asked: list[str] = []

    async def once(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        assert len(asked) == 1, "a second look-up is what a rebinding name waits for"
        return ("127.0.0.1",)

    sender = await open_sender(resolver=once)
    await sender.deliver(f"http://consumer.example.com:{consumer.port}/hook", EVENT)
    assert asked == ["consumer.example.com"]
    assert consumer.received[0].headers["Host"] == f"consumer.example.com:{consumer.port}"


async def test_a_dead_first_address_costs_no_delivery(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()

    async def two(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.9", "127.0.0.1")  # nobody listens on the first

    sender = await open_sender(resolver=two)
    await sender.deliver(f"http://consumer.example.com:{consumer.port}/hook", EVENT)
    assert len(consumer.received) == 1


async def test_dead_addresses_of_one_family_keep_nobody_from_the_other(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()

    async def mixed(host: str, port: int) -> tuple[str, ...]:
        return ("fd00::1", "fd00::2", "fd00::3", "fd00::4", "127.0.0.1", "127.0.0.9")

    sender = await open_sender(resolver=mixed)
    await sender.deliver(f"http://consumer.example.com:{consumer.port}/hook", EVENT)
    assert len(consumer.received) == 1


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        (("fd00::1", "fd00::2", "fd00::3", "10.0.0.1"), ["fd00::1", "10.0.0.1", "fd00::2"]),
        (("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"), ["10.0.0.1", "fd00::1", "10.0.0.2"]),
        (("fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"), ["fd00::1", "10.0.0.1", "fd00::2"]),
        (("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        (("10.0.0.1",), ["10.0.0.1"]),
    ],
)
async def test_the_families_of_a_host_take_turns_and_the_system_s_first_comes_first(
    given: tuple[str, ...], dialled: list[str]
) -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return given

    resolver = CheckedResolver(NetGuard(allow_private=True, resolver=resolve))
    found = await resolver.resolve("consumer.example.com", 443)
    assert [place["host"] for place in found] == dialled


@pytest.mark.usefixtures("quick")
async def test_a_name_that_does_not_resolve_is_tried_again(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    failures = [OSError(-3, "Temporary failure in name resolution")]

    async def flaky(host: str, port: int) -> tuple[str, ...]:
        if failures:
            raise failures.pop()
        return ("127.0.0.1",)

    sender = await open_sender(resolver=flaky)
    await sender.deliver(f"http://consumer.example.com:{consumer.port}/hook", EVENT)
    assert len(consumer.received) == 1


async def test_a_check_ends_although_the_name_server_does_not_answer(
    open_sender: OpenSender,
) -> None:
    async def never(host: str, port: int) -> tuple[str, ...]:
        await asyncio.Event().wait()
        raise AssertionError

    sender = await open_sender(resolver=never, webhook_timeout_s=0.1)
    with pytest.raises(JobFailure, match=r"not resolved within 0\.1 s") as raised:
        await sender.check("https://consumer.example.com/")
    assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE


# --- connections


async def test_a_kept_connection_that_the_consumer_closes_costs_no_attempt(
    open_raw_consumer: Any, open_sender: OpenSender, attempt_metrics: Any
) -> None:
    served = 0

    async def closes_on_the_second(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal served
        await swallow(reader)
        served += 1
        await reader.readexactly(len(EVENT.body))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        await swallow(reader)  # and goes away without a word

    url = await open_raw_consumer(closes_on_the_second)
    sender = await open_sender()
    await sender.deliver(url, EVENT)
    await sender.deliver(url, EVENT)
    assert served == 2
    assert attempt_metrics.attempts == ["2xx", "2xx"]


async def test_an_event_is_repeated_once_however_many_connections_were_kept(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    at_once = asyncio.Barrier(8)
    is_well = True

    async def handle(request: web.Request) -> int:
        if is_well:
            await at_once.wait()
            return 200
        assert request.transport
        request.transport.abort()
        return 500

    consumer = await open_consumer(handler=handle)
    sender = await open_sender(delivery_concurrency=8)
    await asyncio.gather(*(sender.deliver(consumer.url, event(number)) for number in range(8)))
    assert consumer.open_connections == 8
    consumer.received.clear()
    is_well = False
    assert not await sender.attempt(consumer.url, EVENT)
    assert len(consumer.received) == 2


async def test_a_consumer_that_closes_after_each_answer_is_served(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    async def closes(request: web.Request) -> web.Response:
        answer = web.Response()
        answer.force_close()
        return answer

    consumer = await open_consumer(handler=closes)
    sender = await open_sender()
    for number in range(3):
        await sender.deliver(consumer.url, event(number))
    assert len({got.peer_port for got in consumer.received}) == 3
    await until(lambda: consumer.open_connections == 0)


async def test_no_more_connections_stay_open_than_were_asked_for(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    sender = await open_sender(delivery_concurrency=2)
    consumers = [await open_consumer() for _ in range(6)]
    for consumer in consumers:
        await sender.deliver(consumer.url, EVENT)
    # Two for each place, and those that were used last.
    await until(lambda: [c.open_connections for c in consumers] == [0, 0, 1, 1, 1, 1])


# Every number of steps of the event loop at which a delivery can be cut off, and more than enough.
@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
async def test_a_delivery_cut_off_at_any_moment_leaves_no_connection_behind(
    is_tls: bool, open_raw_consumer: Any, open_sender: OpenSender
) -> None:
    open_sockets = 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_sockets
        open_sockets += 1
        try:
            while await reader.read(65536):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        finally:
            open_sockets -= 1

    url = await open_raw_consumer(answers)
    if is_tls:  # the server answers a TLS greeting with plain text: cut off before or after that
        url = url.replace("http://", "https://")
    sender = await open_sender(delivery_concurrency=1)
    for steps in range(150):
        delivery = asyncio.create_task(sender.deliver(url, EVENT))
        for _ in range(steps % 75):
            await asyncio.sleep(0)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
    await until(lambda: open_sockets <= 1)  # one delivery at a time leaves one to be used again
    assert sender._bulkhead.in_flight == 0
