"""Analysis processes: each is lost in every way it can be, and costs no more than its own job."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

import worker.pool
from tests.worker import pool_jobs as jobs
from worker.failures import ErrorCode, JobFailure
from worker.metrics import PREFIX, Metrics
from worker.pool import AnalysisPool

ROOT = Path(__file__).resolve().parents[2]
LONG_S = 60.0
LARGE_BYTES = 8 * 2**20
"""Far more than a pipe holds."""

MakePool = Callable[..., Awaitable[AnalysisPool]]


async def until(condition: Callable[[], object], what: str, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not {what} within {within_s} s"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def restarts(metrics: Metrics, cause: str) -> float:
    labels = {"cause": cause}
    return metrics.registry.get_sample_value(f"{PREFIX}_child_restarts_total", labels) or 0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture
async def make_pool(metrics: Metrics) -> AsyncIterator[MakePool]:
    made: list[AnalysisPool] = []

    async def make(
        slots: int = 1,
        *,
        warm_ups: Sequence[Callable[[], None]] = (jobs.nothing,),
        max_jobs: int = 1000,
        max_mb: float = 1024,
    ) -> AnalysisPool:
        pool = AnalysisPool(
            slots, warm_ups=warm_ups, max_jobs=max_jobs, max_mb=max_mb, metrics=metrics
        )
        made.append(pool)
        await pool.start()
        return pool

    yield make
    for pool in made:
        await pool.stop()


async def begun(flag: Path) -> int:
    """Wait until a job says that it runs; its process id."""
    await until(lambda: flag.exists() and flag.read_text(), f"begun ({flag.name})")
    return int(flag.read_text())  # noqa: ASYNC240


async def code_of(job: Awaitable[object]) -> ErrorCode:
    with pytest.raises(JobFailure) as raised:
        await job
    return raised.value.code


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


async def test_jobs_wait_in_line_for_the_only_process(make_pool: MakePool) -> None:
    pool = await make_pool()
    pids = await asyncio.gather(*(pool.run(jobs.pid, None, LONG_S) for _ in range(5)))
    assert len(set(pids)) == 1


async def test_a_process_killed_while_idle_is_replaced_before_the_next_job(
    make_pool: MakePool, metrics: Metrics
) -> None:
    pool = await make_pool()
    (old,) = pool.pids
    os.kill(old, signal.SIGKILL)
    await until(lambda: pool.size == 1 and old not in pool.pids, "replaced")
    assert await pool.run(jobs.pid, None, LONG_S) != old
    assert restarts(metrics, "died_idle") == 1


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
    await asyncio.sleep(0.3)  # long enough for pebble's own look at its clock, ten times a second
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


async def test_an_answer_that_cannot_cross_fails_its_own_job_alone(make_pool: MakePool) -> None:
    pool = await make_pool()
    async with asyncio.timeout(20):
        code = await code_of(pool.run(jobs.answer_awkwardly, None, LONG_S))
    assert code in (ErrorCode.ANALYSIS_ERROR, ErrorCode.WORKER_LOST)
    async with asyncio.timeout(20):
        assert await pool.run(jobs.pid, None, LONG_S) in pool.pids


async def test_a_request_that_cannot_cross_fails_its_own_job_alone(make_pool: MakePool) -> None:
    pool = await make_pool()
    async with asyncio.timeout(20):
        code = await code_of(pool.run(jobs.pid, lambda: None, LONG_S))
    assert code in (ErrorCode.ANALYSIS_ERROR, ErrorCode.WORKER_LOST)
    async with asyncio.timeout(20):
        assert await pool.run(jobs.pid, None, LONG_S) in pool.pids


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
    real = worker.pool.AnalysisProcess
    refusals = iter([OSError(24, "too many open files")])

    def make(warm_ups: Sequence[Callable[[], None]]) -> worker.pool.AnalysisProcess:
        for refusal in refusals:
            raise refusal
        return real(warm_ups)

    monkeypatch.setattr(worker.pool, "AnalysisProcess", make)
    os.kill(pool.pids[0], signal.SIGKILL)
    await until(lambda: pool.size == 0, "empty")
    await until(lambda: pool.size == 1, "full again")
    assert await pool.run(jobs.pid, None, LONG_S) in pool.pids


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


async def test_replacements_leave_no_task_thread_or_file_behind(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = await make_pool(max_jobs=1)

    async def replace_some(times: int) -> None:
        for _ in range(times):
            await pool.run(jobs.pid, None, LONG_S)
        await until(lambda: pool.size == 1 and len(asyncio.all_tasks()) <= 2, "settled")

    me = psutil.Process()
    await replace_some(2)
    await until(lambda: me.num_threads() <= 12, "the threads of ended pools gone")
    files, threads = me.num_fds(), me.num_threads()
    await replace_some(4)
    await until(
        lambda: me.num_fds() <= files and me.num_threads() <= threads, "files and threads given up"
    )


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
