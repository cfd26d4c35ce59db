"""Results that nobody has taken are sent again, or given up."""

from __future__ import annotations

import asyncio
from typing import Any

import boto3
import orjson
import pytest
from aiobotocore.response import StreamingBody
from aiohttp import ClientPayloadError

from tests.worker.queues import Queues
from tests.worker.sweep.sweeping import (
    BUCKET,
    Opened,
    events,
    job,
    keys,
    store,
    swept,
)
from worker import undelivered
from worker.contract import Event
from worker.sweep import SweepOptions
from worker.webhook import WebhookSender


async def test_an_undelivered_result_is_sent_again(queues: Queues, open_consumer: Opened) -> None:
    consumer = await open_consumer()
    event = await store(job("take-1", consumer.url))
    assert (await swept()).resent == 1
    assert (await swept()).resent == 0
    assert events(consumer) == [(event.event_id, "analysis.completed", "take-1")]
    assert sorted(keys()) == ["results/delivered/take-1.json", "results/take-1.json"]


async def test_a_young_result_is_left_to_its_worker(queues: Queues, open_consumer: Opened) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url))
    assert (await swept(SweepOptions(undelivered_older_than_s=3600))).resent == 0
    assert consumer.received == []


async def test_two_sweeps_side_by_side_send_each_result_once(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    for number in range(6):
        await store(job(f"take-{number}", consumer.url))
    first, second = await asyncio.gather(swept(), swept())
    assert first.resent + second.resent == 6
    assert len(events(consumer)) == 6


async def test_a_claim_of_a_dead_sweep_is_taken_over(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url))
    claim = "results/sweeping/take-1.json"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=claim, Body=b"{}")
    assert (await swept()).resent == 0
    monkeypatch.setattr(undelivered, "CLAIM_S", -1)
    assert (await swept()).resent == 1
    assert claim not in keys()


async def test_a_result_that_is_refused_for_good_is_given_up(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer(answers=[410])
    await store(job("take-1", consumer.url))
    assert (await swept()).given_up == 1
    assert (await swept()).given_up == 0
    assert keys() == ["results/take-1.json"]


async def test_a_result_whose_consumer_is_down_waits_for_the_next_sweep(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0,))
    consumer = await open_consumer(answers=[503, 200])
    await store(job("take-1", consumer.url))
    assert (await swept()).later == 1
    assert (await swept()).resent == 1


async def test_a_note_that_breaks_off_while_it_is_read_stops_no_other(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    for name in ("take-1", "take-2"):
        await store(job(name, consumer.url))
    whole = StreamingBody.read

    async def broken(body: StreamingBody, amt: int | None = None) -> bytes:
        data = await whole(body, amt)
        broken_off.append(data)
        if len(broken_off) == 1:
            raise ClientPayloadError("Response payload is not completed")
        return data

    broken_off: list[bytes] = []
    monkeypatch.setattr(StreamingBody, "read", broken)
    report = await swept()
    assert (report.later, report.resent) == (1, 1)


async def test_a_result_that_nobody_foresaw_stops_no_other(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    for name in ("take-1", "take-2"):
        await store(job(name, consumer.url))
    poison = consumer.url + "?poison"
    boto3.client("s3").put_object(
        Bucket=BUCKET,
        Key="results/undelivered/take-1.json",
        Body=orjson.dumps({"webhook_url": poison}),
    )
    deliver = WebhookSender.deliver

    async def poisoned(sender: WebhookSender, url: str, event: Event, **rest: Any) -> None:
        if url == poison:
            raise OverflowError("Python int too large to convert to C int")
        await deliver(sender, url, event, **rest)

    monkeypatch.setattr(WebhookSender, "deliver", poisoned)
    report = await swept()
    assert (report.resent, report.errors) == (1, 1)
    assert [job_id for _, _, job_id in events(consumer)] == ["take-2"]
    assert "results/sweeping/take-1.json" not in keys()


async def test_a_note_without_a_result_is_removed(queues: Queues) -> None:
    boto3.client("s3").put_object(
        Bucket=BUCKET, Key="results/undelivered/take-1.json", Body=b'{"webhook_url": null}'
    )
    await swept()
    assert keys() == []
