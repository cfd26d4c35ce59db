"""The slots: processes replaced in time, more of them, and fewer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

import worker.pool
from tests.worker import pool_jobs as jobs
from tests.worker.pool.watching import (
    LONG_S,
    MakePool,
    begun,
    is_running,
    restarts,
    until,
)
from worker.analysis_process import AnalysisProcess
from worker.metrics import Metrics


async def test_a_process_is_replaced_after_its_number_of_jobs(
    make_pool: MakePool, metrics: Metrics
) -> None:
    pool = await make_pool(max_jobs=2)
    pids = [await pool.run(jobs.pid, None, LONG_S) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert restarts(metrics, "max_jobs") == 2


async def test_a_process_that_holds_too_much_memory_is_replaced_after_its_job(
    make_pool: MakePool, metrics: Metrics
) -> None:
    pool = await make_pool()
    (old,) = pool.pids
    base_mb = psutil.Process(old).memory_info().rss / 2**20
    small = await make_pool(max_mb=base_mb + 60)
    (old,) = small.pids
    assert await small.run(jobs.grow, 10, LONG_S) == old
    assert await small.run(jobs.grow, 80, LONG_S) == old
    assert await small.run(jobs.pid, None, LONG_S) != old
    assert restarts(metrics, "max_memory") == 1


async def test_a_process_that_is_too_large_when_warm_still_does_a_job(
    make_pool: MakePool, metrics: Metrics
) -> None:
    pool = await make_pool(max_mb=1)
    assert pool.size == 1
    first = await pool.run(jobs.pid, None, LONG_S)
    assert await pool.run(jobs.pid, None, LONG_S) != first
    assert restarts(metrics, "max_memory") >= 1


async def test_a_process_that_cannot_be_made_leaves_room_for_the_next_try(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await make_pool()
    refusals = iter([OSError(24, "too many open files")])

    def make(warm_ups: Sequence[Callable[[], None]]) -> AnalysisProcess:
        for refusal in refusals:
            raise refusal
        return AnalysisProcess(warm_ups)

    monkeypatch.setattr(worker.pool, "AnalysisProcess", make)
    os.kill(pool.pids[0], signal.SIGKILL)
    await until(lambda: pool.size == 0, "empty")
    await until(lambda: pool.size == 1, "full again")
    assert await pool.run(jobs.pid, None, LONG_S) in pool.pids


async def test_more_slots_are_warm_before_they_count(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    monkeypatch.setenv("TEST_WARM_UP_GATE", str(gate))
    gate.touch()
    pool = await make_pool(warm_ups=[jobs.slow_to_warm])
    gate.unlink()
    await pool.resize(3)
    me = psutil.Process()
    await until(
        lambda: sum("spawn_main" in " ".join(c.cmdline()) for c in me.children()) >= 3,
        "three processes",
    )
    assert pool.size == 1
    gate.touch()
    await until(lambda: pool.size == 3, "three warm processes")


async def test_slots_that_go_are_drained_and_not_cut(make_pool: MakePool, tmp_path: Path) -> None:
    pool = await make_pool(3)
    gate = tmp_path / "gate"
    running = [
        asyncio.create_task(
            pool.run(jobs.until_exists, (str(tmp_path / f"flag{i}"), str(gate)), LONG_S)
        )
        for i in range(3)
    ]
    pids = {await begun(tmp_path / f"flag{i}") for i in range(3)}
    await pool.resize(1)
    assert set(pool.pids) == pids
    gate.touch()
    assert set(await asyncio.gather(*running)) == pids
    assert pool.size == 1
    await until(lambda: sum(map(is_running, pids)) == 1, "two processes ended")
    assert await pool.run(jobs.pid, None, LONG_S) in pids


async def test_idle_slots_go_at_once(make_pool: MakePool) -> None:
    pool = await make_pool(3)
    before = set(pool.pids)
    await pool.resize(1)
    assert pool.size == 1
    await until(lambda: sum(map(is_running, before)) == 1, "two processes ended")
