"""Analysis processes are lost in every way they can be, and none costs more than its own job."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.worker import pool_jobs as jobs
from tests.worker.pool.watching import (
    LONG_S,
    MakePool,
    begun,
    code_of,
    is_running,
    restarts,
    until,
)
from worker.failures import ErrorCode, JobFailure
from worker.metrics import Metrics
from worker.pool import AnalysisPool

ROOT = Path(__file__).resolve().parents[3]


async def test_a_process_killed_while_idle_is_replaced_before_the_next_job(
    make_pool: MakePool, metrics: Metrics
) -> None:
    pool = await make_pool()
    (old,) = pool.pids
    os.kill(old, signal.SIGKILL)
    await until(lambda: pool.size == 1 and old not in pool.pids, "replaced")
    assert await pool.run(jobs.pid, None, LONG_S) != old
    assert restarts(metrics, "died_idle") == 1


async def test_a_program_that_an_analysis_started_does_not_hide_the_death_of_its_process(
    make_pool: MakePool,
) -> None:
    pool = await make_pool()
    (old,) = pool.pids
    program = await pool.run(jobs.start_program, None, LONG_S)
    try:
        os.kill(old, signal.SIGKILL)
        await until(lambda: pool.size == 1 and old not in pool.pids, "replaced")
        assert is_running(program)
    finally:
        os.kill(program, signal.SIGKILL)


async def test_a_start_that_is_broken_off_leaves_no_process(metrics: Metrics) -> None:
    before = children()
    for after_s in (0.0, 0.001, 0.002, 0.005, 0.01, 0.05):
        pool = AnalysisPool(2, warm_ups=[jobs.nothing], max_jobs=9, max_mb=999, metrics=metrics)
        start = asyncio.create_task(pool.start())
        await asyncio.sleep(after_s)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await pool.stop()
    await until(lambda: children() <= before, "every process ended")


def children() -> set[int]:
    """Processes of this one, but the one that `multiprocessing` starts once for all."""
    found = set()
    for child in psutil.Process().children():
        try:
            command = " ".join(child.cmdline())
        except psutil.ZombieProcess:  # it has ended, and nobody has asked how
            command = ""
        if "resource_tracker" not in command:
            found.add(child.pid)
    return found


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.12])
async def test_a_job_that_meets_a_process_just_killed_is_done_or_counted_and_the_slot_lives(
    make_pool: MakePool, after_s: float
) -> None:
    pool = await make_pool()
    (old,) = pool.pids
    os.kill(old, signal.SIGKILL)
    # Not a coroutine's sleep: nothing of the pool's own may notice the death in between.
    time.sleep(after_s)  # noqa: ASYNC251
    job = pool.run(jobs.pid, None, LONG_S)
    outcome: object = (await asyncio.gather(job, return_exceptions=True))[0]
    assert outcome != old
    assert isinstance(outcome, int) or (
        isinstance(outcome, JobFailure) and outcome.code is ErrorCode.WORKER_LOST
    )
    async with asyncio.timeout(20):
        assert await pool.run(jobs.pid, None, LONG_S) != old


@pytest.mark.parametrize("how", [jobs.segfault, jobs.abort, jobs.exit_quietly])
async def test_a_process_that_dies_computing_costs_its_own_job_alone(
    make_pool: MakePool, tmp_path: Path, how: Callable[[object], None]
) -> None:
    pool = await make_pool(2)
    gate = tmp_path / "gate"
    other = asyncio.create_task(
        pool.run(jobs.until_exists, (str(tmp_path / "other"), str(gate)), LONG_S)
    )
    survivor = await begun(tmp_path / "other")
    assert await code_of(pool.run(how, None, LONG_S)) is ErrorCode.WORKER_LOST
    gate.touch()
    assert await other == survivor
    await until(lambda: pool.size == 2, "two processes again")
    assert survivor in pool.pids


async def test_a_process_killed_while_computing_is_worker_lost_at_once(
    make_pool: MakePool, tmp_path: Path, metrics: Metrics
) -> None:
    pool = await make_pool()
    job = asyncio.create_task(pool.run(jobs.hang, str(tmp_path / "flag"), LONG_S))
    os.kill(await begun(tmp_path / "flag"), signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await code_of(job) is ErrorCode.WORKER_LOST
    assert await pool.run(jobs.pid, None, LONG_S) in pool.pids
    assert restarts(metrics, "worker_lost") == 1


async def test_a_process_killed_while_receiving_is_worker_lost(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = await make_pool()
    request = jobs.SlowToReceive(str(tmp_path / "flag"))
    job = asyncio.create_task(pool.run(jobs.pid, request, LONG_S))
    os.kill(await begun(tmp_path / "flag"), signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await code_of(job) is ErrorCode.WORKER_LOST
    assert await pool.run(jobs.pid, None, LONG_S) in pool.pids


async def test_replacements_leave_no_task_thread_or_file_behind(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = await make_pool(max_jobs=1)

    async def replace_some(times: int) -> None:
        for _ in range(times):
            await pool.run(jobs.pid, None, LONG_S)
        await until(lambda: pool.size == 1 and len(asyncio.all_tasks()) <= 2, "settled")

    def of_pools() -> int:
        # The event loop's own threads are kept, and made as they are needed.
        return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())

    me = psutil.Process()
    threads = of_pools()
    await replace_some(2)
    await until(lambda: of_pools() <= threads, "the threads of ended pools gone")
    files = me.num_fds()
    await replace_some(4)
    await until(lambda: me.num_fds() <= files, "files given up")
    await until(lambda: of_pools() <= threads, "threads given up")


async def test_a_pool_whose_processes_cannot_warm_up_does_not_start(make_pool: MakePool) -> None:
    with pytest.raises(ImportError, match="no model on this host"):
        await make_pool(warm_ups=[jobs.hopeless])


async def test_a_process_ignores_the_interrupt_that_its_parent_handles(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = await make_pool()
    gate = tmp_path / "gate"
    job = asyncio.create_task(
        pool.run(jobs.until_exists, (str(tmp_path / "flag"), str(gate)), LONG_S)
    )
    worker = await begun(tmp_path / "flag")
    os.kill(worker, signal.SIGINT)
    gate.touch()
    assert await job == worker


async def test_stopping_ends_busy_and_idle_processes(make_pool: MakePool, tmp_path: Path) -> None:
    pool = await make_pool(2)
    pids = pool.pids
    job = asyncio.create_task(pool.run(jobs.hang, str(tmp_path / "flag"), LONG_S))
    await begun(tmp_path / "flag")
    await pool.stop()
    assert not any(map(is_running, pids))
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


PARENT = """
import asyncio, sys
from tests.worker import pool_jobs as jobs
from worker.metrics import Metrics
from worker.pool import AnalysisPool

async def main():
    pool = AnalysisPool(2, warm_ups=[jobs.nothing], max_jobs=9, max_mb=999, metrics=Metrics())
    await pool.start()
    print(*pool.pids, flush=True)
    await pool.run(jobs.hang, sys.argv[1], 600)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_the_death_of_the_parent_ends_idle_and_busy_processes(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    flag = tmp_path / "flag"
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, str(script), str(flag)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        pids = [int(pid) for pid in (await asyncio.to_thread(parent.stdout.readline)).split()]
        assert len(pids) == 2
        assert await begun(flag) in pids
    finally:
        parent.kill()
        parent.wait()
    await until(lambda: not any(map(is_running, pids)), "the children gone")
