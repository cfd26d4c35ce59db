"""Progress: it delays nothing, fails nothing, and is never heard after the end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from worker.contract import Addressee, Event, EventType
from worker.progress import ACCEPTED, ANALYSING, DOWNLOADED, Progress
from worker.settings import Settings
from worker.webhook import WebhookSender

WHO = Addressee("take-42", "https://consumer.example.com/", 7, {"class": "3b"})


class Sender:
    """Sends when it is let."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.sent: list[Event] = []
        self.under_way = 0

    async def attempt(self, url: str, event: Event, *, traceparent: str | None = None) -> bool:
        assert url == WHO.webhook_url
        self.under_way += 1
        try:
            await self.free.wait()
        finally:
            self.under_way -= 1
        self.sent.append(event)
        return True

    def percents(self) -> list[int]:
        return [orjson.loads(event.body)["data"]["progress"] for event in self.sent]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_steps_of_a_job_are_told_in_order() -> None:
    sender = Sender()
    async with Progress(sender, WHO, attempt=2) as progress:
        for percent in (ACCEPTED, DOWNLOADED, ANALYSING):
            progress.report(percent, "A sentence.")
            await settle()
    assert sender.percents() == [10, 40, 70]
    body = orjson.loads(sender.sent[0].body)
    assert body["type"] == "analysis.progress"
    assert body["data"]["status"] == "processing"
    assert body["data"]["attempt"] == 2
    assert body["data"]["metadata"] == {"class": "3b"}
    assert len({event.event_id for event in sender.sent}) == 3


async def test_a_slow_consumer_gets_the_newest_step_and_no_late_ones() -> None:
    sender = Sender()
    sender.free.clear()
    async with Progress(sender, WHO, attempt=1) as progress:
        progress.report(10, "m")
        await settle()
        progress.report(40, "m")
        progress.report(70, "m")
        sender.free.set()
        await settle()
    assert sender.percents() == [10, 70]


async def test_steps_that_go_back_repeat_or_say_the_end_are_not_told() -> None:
    sender = Sender()
    async with Progress(sender, WHO, attempt=1) as progress:
        for percent in (40, 40, 10, 0, -5, 100, 101):
            progress.report(percent, "m")
            await settle()
    assert sender.percents() == [40]


async def test_close_cuts_off_what_is_on_its_way_and_what_waits() -> None:
    sender = Sender()
    sender.free.clear()
    progress = Progress(sender, WHO, attempt=1)
    progress.report(10, "m")
    await settle()
    progress.report(40, "m")
    await asyncio.wait_for(progress.close(), 1)
    assert sender.under_way == 0
    sender.free.set()
    progress.report(70, "m")
    await settle()
    assert sender.sent == []
    await progress.close()


async def test_nothing_is_told_where_nobody_asked_or_nobody_listens() -> None:
    sender = Sender()
    for progress in (
        Progress(sender, WHO, attempt=1, enabled=False),
        Progress(sender, Addressee("take-42"), attempt=1),
    ):
        progress.report(10, "m")
        await settle()
        await progress.close()
    assert sender.sent == []


async def test_a_hanging_consumer_delays_no_job_and_hears_nothing_after_the_end(
    open_consumer: Any, attempt_metrics: Any
) -> None:
    """With a real server that answers progress after a minute, and results at once."""

    async def slow_with_progress(request: Any) -> int:
        if b"analysis.progress" in await request.read():
            await asyncio.sleep(60)
        return 200

    consumer = await open_consumer(handler=slow_with_progress)
    settings = Settings(queue_url="https://sqs.test/q", webhook_allow_private=True, _env_file=None)
    who = Addressee("take-42", consumer.url)
    async with WebhookSender(settings, None, attempt_metrics) as sender:
        started = time.monotonic()
        async with Progress(sender, who, attempt=1) as progress:
            progress.report(10, "m")
            async with asyncio.timeout(5):
                while not consumer.received:  # noqa: ASYNC110  the server's state
                    await asyncio.sleep(0.005)
            progress.report(40, "m")
        await sender.deliver(consumer.url, Event("evt_1", EventType.COMPLETED, "j", b"{}"))
        assert time.monotonic() - started < 3
        await asyncio.sleep(0.1)
    assert [got.body == b"{}" for got in consumer.received] == [False, True]
