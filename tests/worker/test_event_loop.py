"""The worker's event loop is libuv's where there is one, and asyncio's elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from worker import event_loop


async def kind_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_runs_the_worker() -> None:
    assert event_loop.run(kind_of_loop()) == "uvloop"


def test_where_there_is_no_uvloop_asyncio_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "find_spec", lambda _: None)
    assert event_loop.run(kind_of_loop()) == "asyncio"
