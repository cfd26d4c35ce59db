"""A job in an analysis process: done, failed, too slow or cancelled, at its own cost alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import platform
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker import pool_jobs as jobs
from tests.worker.pool.watching import (
    LARGE_BYTES,
    LONG_S,
    MakePool,
    begun,
    code_of,
    is_running,
    resident_mb,
    restarts,
    until,
)
from worker.failures import ErrorCode, JobFailure
from worker.metrics import Metrics


async def test_a_job_runs_in_a_process_of_its_own_which_is_kept(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert pool.size == 1
    first = await pool.run(jobs.pid, None, LONG_S)
    assert first in pool.pids
    assert first != os.getpid()
    assert await pool.run(jobs.pid, None, LONG_S) == first


async def test_a_request_of_many_megabytes_arrives_whole(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert await pool.run(jobs.echo_size, bytes(LARGE_BYTES), LONG_S) == LARGE_BYTES


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own settings")
async def test_the_memory_of_one_line_serves_the_next(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert await pool.run(jobs.page_faults, None, LONG_S) < 100


async def test_jobs_wait_in_line_for_the_only_process(make_pool: MakePool) -> None:
    pool = await make_pool()
    pids = await asyncio.gather(*(pool.run(jobs.pid, None, LONG_S) for _ in range(5)))
    assert len(set(pids)) == 1


async def test_a_process_that_takes_no_large_request_is_killed_at_the_limit(
    make_pool: MakePool,
) -> None:
    pool = await make_pool()
    (frozen,) = pool.pids
    os.kill(frozen, signal.SIGSTOP)
    assert await code_of(pool.run(jobs.echo_size, bytes(LARGE_BYTES), 0.5)) is ErrorCode.TIMEOUT
    async with asyncio.timeout(20):
        assert await pool.run(jobs.echo_size, bytes(LARGE_BYTES), LONG_S) == LARGE_BYTES
    assert not is_running(frozen)


async def test_a_stuck_process_is_killed_at_its_limit(
    make_pool: MakePool, tmp_path: Path, metrics: Metrics
) -> None:
    pool = await make_pool()
    started = time.monotonic()
    assert await code_of(pool.run(jobs.hang, str(tmp_path / "flag"), 0.5)) is ErrorCode.TIMEOUT
    assert 0.5 <= time.monotonic() - started < 5
    stuck = int((tmp_path / "flag").read_text())
    await until(lambda: not is_running(stuck), "the stuck process ended")
    assert await pool.run(jobs.pid, None, LONG_S) != stuck
    assert restarts(metrics, "timeout") == 1


async def test_the_limit_grows_by_the_recordings_seconds(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert await pool.run(jobs.longer_than_allowed, (30.0, 1.0), 0.3) == "done"
    # And only for the job that asked for it.
    assert await code_of(pool.run(jobs.longer_than_allowed, (0.2, 60.0), 0.3)) is ErrorCode.TIMEOUT


@pytest.mark.parametrize("step_s", [-7200.0, 7200.0])
async def test_a_step_of_the_wall_clock_neither_ends_nor_spares_a_job(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    pool = await make_pool()
    gate = tmp_path / "gate"
    job = asyncio.create_task(
        pool.run(jobs.until_exists, (str(tmp_path / "flag"), str(gate)), LONG_S)
    )
    worker = await begun(tmp_path / "flag")
    wall_clock = time.time
    monkeypatch.setattr(time, "time", lambda: wall_clock() + step_s)
    await asyncio.sleep(0.3)  # whoever looks at the wrong clock now and then has looked
    assert not job.done()
    gate.touch()
    assert await job == worker
    assert await code_of(pool.run(jobs.hang, str(tmp_path / "again"), 0.4)) is ErrorCode.TIMEOUT


async def test_an_exception_is_analysis_error_and_the_process_is_kept(
    make_pool: MakePool,
) -> None:
    pool = await make_pool()
    before = pool.pids
    with pytest.raises(JobFailure, match="LookupError") as raised:
        await pool.run(jobs.fail, None, LONG_S)
    assert raised.value.code is ErrorCode.ANALYSIS_ERROR
    assert [await pool.run(jobs.pid, None, LONG_S)] == before


async def test_an_exception_that_cannot_cross_is_analysis_error_too(make_pool: MakePool) -> None:
    pool = await make_pool()
    before = pool.pids
    with pytest.raises(JobFailure, match="AwkwardError") as raised:
        await pool.run(jobs.fail_awkwardly, None, LONG_S)
    assert raised.value.code is ErrorCode.ANALYSIS_ERROR
    assert [await pool.run(jobs.pid, None, LONG_S)] == before


@pytest.mark.parametrize(
    ("function", "request_"),
    [
        pytest.param(jobs.answer_awkwardly, None, id="answer that cannot be sent"),
        pytest.param(jobs.answer_unreadably, None, id="answer that cannot be read"),
        pytest.param(jobs.answer_that_stops, None, id="answer that stops who reads it"),
        pytest.param(jobs.answer_that_is_late, None, id="answer that reads as the time limit"),
        pytest.param(jobs.fail_speechlessly, None, id="error without words"),
        pytest.param(jobs.pid, lambda: None, id="request that cannot be sent"),
        pytest.param(jobs.pid, jobs.Unreadable(), id="request that cannot be read"),
    ],
)
async def test_what_cannot_cross_fails_its_own_job_alone_and_the_process_is_kept(
    make_pool: MakePool, function: Callable[[object], object], request_: object
) -> None:
    pool = await make_pool()
    before = pool.pids
    async with asyncio.timeout(20):
        assert await code_of(pool.run(function, request_, LONG_S)) is ErrorCode.ANALYSIS_ERROR
        assert [await pool.run(jobs.pid, None, LONG_S)] == before


async def test_what_a_failed_job_held_is_given_up(make_pool: MakePool) -> None:
    pool = await make_pool()
    (pid,) = pool.pids
    before_mb = resident_mb(pid)
    for _ in range(6):
        assert await code_of(pool.run(jobs.fail_holding, 40, LONG_S)) is ErrorCode.ANALYSIS_ERROR
    assert resident_mb(pid) < before_mb + 80


async def test_a_large_answer_is_not_kept_until_the_next_job(make_pool: MakePool) -> None:
    pool = await make_pool()
    before_mb = resident_mb(os.getpid())
    size = len(await pool.run(jobs.answer_of, 200, LONG_S))
    assert size == 200 * 2**20
    await until(lambda: resident_mb(os.getpid()) < before_mb + 100, "the answer given up")


@pytest.mark.parametrize("timeout_s", [0.2, LONG_S], ids=["too slow", "lost"])
async def test_the_request_of_a_failed_job_is_given_up(
    make_pool: MakePool, timeout_s: float
) -> None:
    pool = await make_pool()
    request = jobs.Watched()
    watched = weakref.ref(request)
    function = jobs.hang_whatever if timeout_s < LONG_S else jobs.segfault
    gc.disable()
    try:
        with contextlib.suppress(JobFailure):
            await pool.run(function, request, timeout_s)
        del request
        await until(lambda: watched() is None, "the request given up")
    finally:
        gc.enable()


async def test_jobs_are_carried_by_no_thread(make_pool: MakePool, tmp_path: Path) -> None:
    def threads() -> list[str]:
        return sorted(thread.name for thread in threading.enumerate())

    pool = await make_pool(2)
    before = threads()
    gate = tmp_path / "gate"
    job = asyncio.create_task(
        pool.run(jobs.until_exists, (str(tmp_path / "flag"), str(gate)), LONG_S)
    )
    await begun(tmp_path / "flag")
    assert threads() == before
    gate.touch()
    await job


async def test_a_process_does_not_import_the_programs_main_module(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert not await pool.run(jobs.has_module, "pytest", LONG_S)


async def test_a_cancelled_job_takes_its_process_with_it(
    make_pool: MakePool, tmp_path: Path, metrics: Metrics
) -> None:
    pool = await make_pool()
    job = asyncio.create_task(pool.run(jobs.hang, str(tmp_path / "flag"), LONG_S))
    doomed = await begun(tmp_path / "flag")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await until(lambda: not is_running(doomed), "the cancelled job's process ended")
    assert await pool.run(jobs.pid, None, LONG_S) != doomed
    assert restarts(metrics, "cancelled") == 1


async def test_a_job_cancelled_while_it_waits_costs_no_process(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = await make_pool()
    gate = tmp_path / "gate"
    running = asyncio.create_task(
        pool.run(jobs.until_exists, (str(tmp_path / "flag"), str(gate)), LONG_S)
    )
    worker = await begun(tmp_path / "flag")
    waiting = asyncio.create_task(pool.run(jobs.pid, None, LONG_S))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.touch()
    assert await running == worker
    assert await pool.run(jobs.pid, None, LONG_S) == worker
