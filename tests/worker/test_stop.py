"""A stop that comes while the service is being put together, or before, ends it as well."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.worker.waiting import until
from worker.stop import Stop

STOPPED_EARLY = 7
SERVED = 8


@pytest_asyncio.fixture
async def stop() -> AsyncIterator[Stop]:
    made = Stop(asyncio.get_running_loop())
    yield made
    made.forget()


async def told(stop: Stop) -> None:
    """Send this process a SIGTERM, and let the event loop hear it."""
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: stop.asked)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_stop_before_it_serves_ends_it_with_nothing_to_settle(
    stop: Stop, when: str
) -> None:
    begun = asyncio.Event()

    async def start() -> int:
        begun.set()
        await asyncio.Event().wait()
        return SERVED

    if when == "before":
        await told(stop)
    running = asyncio.create_task(stop.or_result(start(), stopped_early=STOPPED_EARLY))
    if when == "meanwhile":
        await begun.wait()
        await told(stop)
    async with asyncio.timeout(5):
        assert await running == STOPPED_EARLY
    assert begun.is_set() == (when == "meanwhile")


async def test_once_it_serves_a_stop_drains_it_and_a_second_one_cuts(stop: Stop) -> None:
    drained, cut = asyncio.Event(), asyncio.Event()

    async def serve() -> int:
        stop.hand_over(drained.set, cut.set)
        await cut.wait()
        return SERVED

    running = asyncio.create_task(stop.or_result(serve(), stopped_early=STOPPED_EARLY))
    await asyncio.sleep(0)
    await told(stop)
    assert (drained.is_set(), cut.is_set()) == (True, False)
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(5):
        assert await running == SERVED
    assert stop.asked_twice
