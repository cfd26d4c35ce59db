"""No consumer stands in another's way: hanging ones, failing ones, slow ones, with real servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Any

import pytest
from aiohttp import web

import worker.breaker
import worker.webhook
from tests.worker.waiting import until
from worker.contract import Addressee, Event, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.metrics import Metrics
from worker.sinks import Sinks
from worker.webhook import WebhookSender

OpenSender = Callable[..., Awaitable[WebhookSender]]


pytestmark = pytest.mark.usefixtures("quick")


def event(number: int) -> Event:
    return build_event(
        EventType.COMPLETED, Addressee(f"job-{number}"), attempt=1, progress=100, message="Done."
    )


async def answers_after(delay_s: float, request: web.Request) -> int:
    await asyncio.sleep(delay_s)
    return 200


async def outcome(sender: WebhookSender, url: str, number: int) -> str:
    try:
        await sender.deliver(url, event(number))
    except JobFailure as failure:
        return "later" if failure.code is ErrorCode.WEBHOOK_UNAVAILABLE else failure.code
    return "taken"


async def test_one_of_three_hangs_and_the_other_two_lose_no_throughput(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    """150 deliveries to each of the good two, at 20 ms an answer, with and without the third.

    The third hangs for as long as the test lasts, with as many events sent to it. Alone, the good
    two take about 0.75 s: 300 answers of 20 ms over 8 places. One wait for the third would be a
    third of its time-out, 10 s.
    """
    good = [
        await open_consumer(handler=lambda request: answers_after(0.02, request)) for _ in range(2)
    ]
    hanging = await open_consumer(handler=lambda request: answers_after(3600, request))
    sender = await open_sender(webhook_timeout_s=30)

    async def serve_the_good() -> float:
        started = time.monotonic()
        outcomes = await asyncio.gather(
            *(outcome(sender, consumer.url, number) for number in range(150) for consumer in good)
        )
        assert set(outcomes) == {"taken"}
        return time.monotonic() - started

    alone_s = await serve_the_good()
    held_up = [asyncio.create_task(outcome(sender, hanging.url, number)) for number in range(150)]
    await until(lambda: hanging.at_once > 0)
    beside_s = await serve_the_good()
    assert hanging.at_once > 0, "the third was to hang all the while"
    assert beside_s < alone_s * 2 + 3, f"{alone_s:.2f} s alone, {beside_s:.2f} s beside it"
    for task in held_up:
        task.cancel()
    await asyncio.gather(*held_up, return_exceptions=True)


async def test_a_consumer_that_begins_to_hang_costs_the_others_no_time_out(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    """It was healthy, and is full of events when it stops: still places are left for others."""
    stopped = asyncio.Event()

    async def healthy_then_stuck(request: web.Request) -> int:
        await asyncio.sleep(3600 if stopped.is_set() else 0.005)
        return 200

    stuck = await open_consumer(handler=healthy_then_stuck)
    good = await open_consumer(handler=lambda request: answers_after(0.005, request))
    sender = await open_sender(delivery_concurrency=8, webhook_timeout_s=30)
    everyone = (stuck.url, good.url)
    await asyncio.gather(*(outcome(sender, url, n) for n in range(40) for url in everyone))
    stopped.set()
    held_up = [asyncio.create_task(outcome(sender, stuck.url, number)) for number in range(100)]
    await until(lambda: stuck.at_once >= 6)
    started = time.monotonic()
    outcomes = await asyncio.gather(*(outcome(sender, good.url, number) for number in range(40)))
    assert set(outcomes) == {"taken"}
    assert time.monotonic() - started < 5
    assert stuck.at_once == 6, "three quarters of the eight places"
    for task in held_up:
        task.cancel()
    await asyncio.gather(*held_up, return_exceptions=True)


async def test_events_to_a_hanging_consumer_are_turned_away_long_before_their_time_out(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    hanging = await open_consumer(handler=lambda request: answers_after(3600, request))
    sender = await open_sender(delivery_concurrency=4, webhook_timeout_s=6)
    first = [asyncio.create_task(outcome(sender, hanging.url, number)) for number in range(4)]
    await until(lambda: hanging.at_once == 4)
    started = time.monotonic()
    rest = await asyncio.gather(*(outcome(sender, hanging.url, n) for n in range(50)))
    assert set(rest) == {"later"}
    assert time.monotonic() - started < 4, "a third of the time-out, and some"
    assert len(hanging.received) == 4
    for task in first:
        task.cancel()
    await asyncio.gather(*first, return_exceptions=True)


async def test_a_consumer_alone_is_served_by_every_place(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer(handler=lambda request: answers_after(0.05, request))
    sender = await open_sender(delivery_concurrency=16, webhook_timeout_s=30)
    outcomes = await asyncio.gather(*(outcome(sender, consumer.url, n) for n in range(160)))
    assert set(outcomes) == {"taken"}
    assert consumer.most_at_once == 16


async def test_a_slow_consumer_that_answers_gets_all_its_events(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    """They wait for longer than the patience, and are not turned away."""
    consumer = await open_consumer(handler=lambda request: answers_after(0.1, request))
    sender = await open_sender(delivery_concurrency=2, webhook_timeout_s=0.9)
    outcomes = await asyncio.gather(*(outcome(sender, consumer.url, n) for n in range(30)))
    assert set(outcomes) == {"taken"}


async def test_a_failing_consumer_is_left_alone_and_then_tried_once(
    open_consumer: Any,
    open_sender: OpenSender,
    attempt_metrics: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker.breaker, "FIRST_PAUSE_S", 0.3)
    consumer = await open_consumer(answers=chain(repeat(500, 5), repeat(200)))
    sender = await open_sender(webhook_timeout_s=30)
    assert await outcome(sender, consumer.url, 1) == "later"
    assert await outcome(sender, consumer.url, 2) == "later"
    assert len(consumer.received) == 5
    assert attempt_metrics.open_breakers == 1
    with pytest.raises(JobFailure, match="failed repeatedly") as raised:
        await sender.deliver(consumer.url, event(3))
    assert 0 < (raised.value.retry_after_s or 0) <= 0.3
    assert len(consumer.received) == 5
    assert attempt_metrics.attempts[-1] == "open"
    await asyncio.sleep(0.35)
    assert await outcome(sender, consumer.url, 4) == "taken"
    assert await outcome(sender, consumer.url, 5) == "taken"
    assert attempt_metrics.open_breakers == 0


async def test_a_consumer_that_refuses_events_opens_no_breaker(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer(answers=chain(repeat(400, 20), [200]))
    sender = await open_sender(webhook_timeout_s=30)
    for number in range(10):
        with pytest.raises(JobFailure) as raised:
            await sender.deliver(consumer.url, event(number))
        assert raised.value.code is ErrorCode.WEBHOOK_REJECTED
    assert await outcome(sender, consumer.url, 11) == "taken"


async def test_one_consumer_s_breaker_is_no_other_s(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    bad, good = await open_consumer(answers=repeat(503)), await open_consumer()
    sender = await open_sender(webhook_timeout_s=30)
    for number in range(4):
        assert await outcome(sender, bad.url, number) == "later"
    assert await outcome(sender, good.url, 5) == "taken"


async def test_the_pace_of_one_consumer_is_kept_and_is_no_other_s(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    paced, other = await open_consumer(), await open_consumer()
    sender = await open_sender(webhook_max_rps=20, webhook_timeout_s=30)
    await asyncio.gather(*(outcome(sender, paced.url, number) for number in range(8)))
    times = [got.at_s for got in paced.received]
    assert times[-1] - times[0] >= 7 / 20 - 0.02
    started = time.monotonic()
    assert await outcome(sender, other.url, 1) == "taken"
    assert time.monotonic() - started < 0.3


@pytest.mark.parametrize(("delay_s", "max_rps"), [(0.4, None), (0.0, 4.0)], ids=["slow", "paced"])
async def test_events_do_not_wait_behind_those_of_a_slow_consumer(
    open_consumer: Any, open_sender: OpenSender, delay_s: float, max_rps: float | None
) -> None:
    """Through the sinks, in a place of the backlog, as a job's event goes.

    Sixty events to the slow one: seven seconds and fifteen of them, were each waited for.
    """
    slow = await open_consumer(handler=lambda request: answers_after(delay_s, request))
    quick = await open_consumer()
    sender = await open_sender(delivery_concurrency=4, webhook_timeout_s=3, webhook_max_rps=max_rps)
    sinks = Sinks(sender, None, concurrency=4, metrics=Metrics(), max_rps=max_rps)

    async def deliver(url: str, number: int, *, can_come_back: bool) -> str:
        try:
            with await sinks.place(url, can_come_back=can_come_back):
                await sinks.send(url, event(number))
        except JobFailure as failure:
            return f"later {failure.code}"
        return "taken"

    assert await deliver(quick.url, 0, can_come_back=True) == "taken"
    burst = [
        asyncio.create_task(deliver(slow.url, number, can_come_back=number % 2 == 0))
        for number in range(60)
    ]
    await until(lambda: len(slow.received) >= 1)
    for number in range(1, 3):
        assert await deliver(quick.url, number, can_come_back=True) == "taken"
    assert len(slow.received) < 20
    for task in burst[1::2]:
        task.cancel()  # those that wait; the others have gone back to the queue by now
    outcomes = await asyncio.gather(*burst, return_exceptions=True)
    assert outcomes.count(f"later {ErrorCode.WEBHOOK_UNAVAILABLE}") >= 20


async def test_a_delivery_that_is_cut_off_gives_its_place_back(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    held = asyncio.Event()

    async def holds_the_first(request: web.Request) -> int:
        if not held.is_set():
            held.set()
            await asyncio.sleep(3600)
        return 200

    consumer = await open_consumer(handler=holds_the_first)
    sender = await open_sender(delivery_concurrency=1, webhook_timeout_s=30)
    stuck = asyncio.create_task(sender.deliver(consumer.url, event(1)))
    await asyncio.wait_for(held.wait(), 5)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert await asyncio.wait_for(outcome(sender, consumer.url, 2), 5) == "taken"


async def test_progress_gives_way_to_results(open_consumer: Any, open_sender: OpenSender) -> None:
    consumer = await open_consumer(handler=lambda request: answers_after(0.2, request))
    sender = await open_sender(delivery_concurrency=2, webhook_timeout_s=30)
    result = asyncio.create_task(outcome(sender, consumer.url, 1))
    await until(lambda: consumer.at_once == 1)
    assert not await sender.attempt(consumer.url, event(2))
    assert await result == "taken"
    assert await sender.attempt(consumer.url, event(3))
