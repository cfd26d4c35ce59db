"""The walk through a dead-letter queue: each message once, and released again."""

from __future__ import annotations

import asyncio

import pytest

from tests.worker.queues import Queues, text
from worker.aws import open_clients
from worker.deadletter_attributes import attributes_of
from worker.deadletters import REASONS, Walk
from worker.failures import ErrorCode, JobFailure
from worker.metrics import Metrics
from worker.queue import Message, Queue


async def test_a_walk_sees_each_message_once_and_holds_no_bodies(queues: Queues) -> None:
    queues.bury_many(35)
    seen: list[str] = []
    async with open_clients() as clients, Walk(clients.sqs, queues.dead) as walk:
        while letters := await walk.batch():
            seen += [letter.job_id or "" for letter in letters]
            walk.keep(letters)
            assert walk._out == {}
    assert sorted(seen) == sorted(f"take-{number}" for number in range(35))


async def test_a_walk_whose_messages_come_back_under_it_ends(queues: Queues) -> None:
    queues.bury("a")
    async with open_clients() as clients, Walk(clients.sqs, queues.dead, hidden_s=1) as walk:
        letters = await walk.batch()
        walk.keep(letters)
        async with asyncio.timeout(60):
            assert await walk.batch() == []


async def test_a_letter_that_comes_back_under_its_lane_is_that_lanes(queues: Queues) -> None:
    queues.bury_many(2)
    async with open_clients() as clients, Walk(clients.sqs, queues.dead, hidden_s=0) as walk:
        first, second = await walk.batch()
        assert await walk.batch() == []
        walk.keep([first])
        assert await walk.delete([second]) == []
    assert queues.bodies(queues.dead) == [first.job_id]


async def test_a_cancelled_walk_releases_what_it_took(queues: Queues) -> None:
    queues.bury("a")
    reading = asyncio.Event()

    async def walk_until_cancelled() -> None:
        async with open_clients() as clients, Walk(clients.sqs, queues.dead) as walk:
            await walk.batch()
            reading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(walk_until_cancelled())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert queues.bodies(queues.dead) == ["a"]


def test_the_reasons_are_those_that_a_worker_writes() -> None:
    metrics = Metrics()
    queue = Queue(None, "http://h/1/jobs", metrics)  # type: ignore[arg-type]
    message = Message("m", "r", "{}", queue, raw_attributes={"own": text("x")})
    failure = JobFailure(
        ErrorCode.RETRIES_EXHAUSTED, "No attempt is left.", cause=ErrorCode.TIMEOUT
    )
    written = attributes_of(message, failure, event_delivered=True)
    assert written is not None
    assert set(written) - {"own"} == REASONS
