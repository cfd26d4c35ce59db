"""All cores computing: what of the bare scores' throughput is left when a worker does them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from scripts.bench import bill, real_worker, request_count
from scripts.bench.figure import Bound, Figure, interleaved
from scripts.bench.lines import Line, join
from worker.pool import set_environment

PART: Final = "saturation"
LINE_S: Final = 10.0
SHORT_S: Final = 2.0
JOBS_PER_PROCESS: Final = 60
UNTIMED: Final = 8
TIMEOUT_S: Final = 300.0
KERNEL_SIZE: Final = 48
"""Rows of a matrix of which three fit into 32 KB, the first cache of a core."""
KERNEL_REPEATS: Final = 400_000
PACE_JOBS_PER_S: Final = 20
"""At which the I/O process's share of a core is told."""

OF_BARE: Final = Bound(">=", 0.90)
SCALING: Final = Bound(">=", 1.85)
IO_SHARE: Final = Bound("<=", 20.0)


@dataclass(frozen=True)
class Pace:
    """What one run did."""

    jobs_per_s: float
    io_ms_per_job: float = 0.0


def measure(runs: int, *, jobs_per_process: int = JOBS_PER_PROCESS) -> list[Figure]:
    """Score one line again and again: bare in processes of their own, and by a worker.

    Raises
    ------
    NotInstalledError
        There is no SQS server for load.
    """
    cores = len(os.sched_getaffinity(0))
    lines = {"line": join(LINE_S), "short": join(SHORT_S)}
    paces: dict[str, list[Pace]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch, real_worker.stand(Path(scratch), lines) as on:
        kernel = partial(_at_once, KERNEL_REPEATS, _multiplying)
        bare = partial(_at_once, jobs_per_process, partial(_scoring, lines["line"]))
        fleet = partial(_worker, on, jobs_per_process)
        things: dict[str, Callable[[], Pace]] = {
            "kernel, one": partial(kernel, 1),
            "kernel, all": partial(kernel, cores),
            "bare, one": partial(bare, 1),
            "bare, all": partial(bare, cores),
            "worker, one": partial(fleet, "line", 1),
            "worker, all": partial(fleet, "line", cores),
            "worker, short": partial(fleet, "short", cores),
        }
        for name, pace in interleaved(runs, things):
            paces[name].append(pace)
        bills = [_requests(on, jobs_per_process, cores) for _ in range(min(runs, bill.MOST_RUNS))]
    speed = {name: [one.jobs_per_s for one in found] for name, found in paces.items()}
    io = {name: [one.io_ms_per_job for one in found] for name, found in paces.items()}
    scaled = Bound(">=", SCALING.limit) if cores == 2 else None
    at_pace = [ms * PACE_JOBS_PER_S / 10 for ms in io["worker, short"]]  # per cent of a core
    seconds = f"{lines['line'].seconds:.1f} s"
    short = f"{lines['short'].seconds:.1f} s"
    return [
        Figure.of(
            PART, f"bare scores of {seconds}, {cores} processes", "a second", speed["bare, all"]
        ),
        Figure.of(
            PART, f"the worker's, {cores} analysis processes", "a second", speed["worker, all"]
        ),
        Figure.ratio(
            PART, "worker / bare, all cores", speed["worker, all"], speed["bare, all"], OF_BARE
        ),
        Figure.ratio(
            PART,
            f"worker, {cores} processes / 1",
            speed["worker, all"],
            speed["worker, one"],
            scaled,
        ),
        Figure.ratio(PART, f"bare, {cores} processes / 1", speed["bare, all"], speed["bare, one"]),
        Figure.ratio(
            PART,
            f"arithmetic in the cores' own caches, {cores} processes / 1",
            speed["kernel, all"],
            speed["kernel, one"],
        ),
        Figure.of(
            PART,
            f"I/O process at {PACE_JOBS_PER_S} jobs/s of {short}",
            "% of a core",
            at_pace,
            IO_SHARE,
        ),
        Figure.of(PART, f"SQS requests of the worker, lines of {seconds}", bill.UNIT, bills),
    ]


def _requests(on: real_worker.Stand, jobs_per_process: int, processes: int) -> float:
    """SQS requests for so many jobs of a backlog; the first ones, and the end, are not in it."""
    untimed, jobs = UNTIMED * processes, jobs_per_process * processes
    with (
        request_count.running(on.sqs, on.folder) as proxy,
        real_worker.working(on, processes=processes, sqs=proxy.address) as (queue, _),
    ):
        letters = [real_worker.letter(on, number, "line") for number in range(2 * untimed + jobs)]
        queue.fill(letters)
        on.inbox.wait_for(untimed, timeout_s=TIMEOUT_S)
        proxy.forget()
        on.inbox.wait_for(untimed + jobs, timeout_s=TIMEOUT_S)
        return sum(proxy.counts().values()) * bill.PER_JOBS / jobs


def _at_once(repeats: int, prepare: Callable[[], Callable[[], object]], processes: int) -> Pace:
    """So many processes that repeat what `prepare` returns and do nothing else, all at once."""
    set_environment()
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    answers: Any = context.Queue()
    started = [
        context.Process(target=_repeat, args=(repeats, prepare, ready, answers))
        for _ in range(processes)
    ]
    for one in started:
        one.start()
    ready.wait(TIMEOUT_S)
    took = [answers.get(timeout=TIMEOUT_S) for _ in started]
    for one in started:
        one.join()
    return Pace(sum(repeats / seconds for seconds in took))


def _repeat(
    repeats: int, prepare: Callable[[], Callable[[], object]], ready: Any, answers: Any
) -> None:
    work = prepare()
    for _ in range(UNTIMED):
        work()
    ready.wait(TIMEOUT_S)
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    answers.put(time.perf_counter() - began)


def _multiplying() -> Callable[[], object]:
    """Nothing but arithmetic: what the machine's cores give together at best."""
    import numpy as np

    left = np.random.default_rng(0).random((KERNEL_SIZE, KERNEL_SIZE), dtype=np.float32)
    return partial(np.matmul, left, left, out=np.empty_like(left))


def _scoring(line: Line) -> Callable[[], object]:
    import analysis
    from analysis.scoring import warm_up

    warm_up()

    def score() -> str:
        recording = analysis.Recording.from_bytes(line.audio)
        reference = analysis.Reference.from_textgrid(line.textgrid, pitch=line.pitch)
        return analysis.score(recording, reference).model_dump_json()

    return score


def _worker(on: real_worker.Stand, jobs_per_process: int, line: str, processes: int) -> Pace:
    """One worker on a full queue."""
    jobs = UNTIMED * processes + jobs_per_process * processes
    with real_worker.working(on, processes=processes) as (
        queue,
        worker,
    ):
        queue.fill([real_worker.letter(on, number, line) for number in range(jobs)])
        main = [psutil.Process(worker.pid)]
        untimed = UNTIMED * processes
        on.inbox.wait_for(untimed, timeout_s=TIMEOUT_S)
        before_s = real_worker.cpu_s(main)
        count = on.inbox.wait_for(jobs, timeout_s=TIMEOUT_S, untimed=untimed)
        io_s = real_worker.cpu_s(main) - before_s
        real_worker.check_that_scored(on.inbox)
    return Pace(count.jobs_per_s, 1000 * io_s / (jobs - untimed))
