"""The bill: the SQS requests that 1,000 jobs take, of a full queue and of jobs that keep coming."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Final, Literal

from scripts.bench import bench_queue, fleet_run, request_count, sqs_server
from scripts.bench.figure import Bound, Figure, interleaved
from scripts.bench.fleet_run import Progress, Stand
from scripts.bench.systems import OURS, System
from scripts.child_process import NotInstalledError

JOBS: Final = 1000
"""Of a full queue; enough that the few calls of a start weigh nothing."""

PACED_JOBS: Final = 500
PACE_JOBS_PER_S: Final = 50.0
"""Far below what any of the systems can do, so that each job is there when it is asked for."""

FIRST_JOBS: Final = 20
"""They come before the paced ones, so that the start of a system is not in its bill."""

PACED_SERVER: Final = sqs_server.LOCALSTACK
"""fauxqs wakes every poller at an arrival, and all but one ask again: nothing that SQS does."""

MOST_RUNS: Final = 3
"""Requests are counted and not timed: they differ little from run to run."""

PER_JOBS: Final = 1000
UNIT: Final = f"per {PER_JOBS:,} jobs"
FULL: Final = "SQS requests"
PACED: Final = f"SQS requests at {PACE_JOBS_PER_S:g} jobs/s"

Counts = dict[str, int]
Seen = dict[str, list[int]]


def measure(
    part: str, on: Stand, systems: Sequence[System], runs: int, progress: Progress
) -> list[Figure]:
    """Count the requests of each system, of a full queue and at a pace."""
    runs = min(runs, MOST_RUNS)
    full = {system.name: partial(of_a_full_queue, on, system, jobs=JOBS) for system in systems}
    # Ten messages a call are SQS's own limit, and one of the others is at it as well.
    figures = _figures(part, FULL, _counted(FULL, full, runs, progress), JOBS, "<=")
    try:
        with sqs_server.running(PACED_SERVER, on.folder) as sqs:
            there = replace(on, sqs=sqs, server=PACED_SERVER)
            paced = {
                system.name: partial(of_coming_jobs, there, system, jobs=PACED_JOBS)
                for system in systems
            }
            seen = _counted(PACED, paced, runs, progress)
            figures += _figures(part, PACED, seen, PACED_JOBS, "<")
    except NotInstalledError as missing:
        progress(f"no bill of jobs that keep coming: {missing}")
    return figures


def of_a_full_queue(on: Stand, system: System, *, jobs: int) -> Counts:
    """Requests by operation for jobs that all wait before one process starts.

    Counted from its start to the last delete: its start is in it, idle polls after the end are
    not.
    """
    with (
        request_count.running(on.sqs, on.folder) as proxy,
        bench_queue.made(on.sqs, fleet_run.queue_name("bill", system)) as queue,
    ):
        place = fleet_run.place_of(on, proxy.address, queue)
        letters = system.letters(place, jobs)
        with fleet_run.started(on, system, place, queue, letters, processes=1) as children:
            fleet_run.wait_for_jobs(on, system, children, jobs)
            queue.wait_until_empty()
            return proxy.counts()


def of_coming_jobs(
    on: Stand, system: System, *, jobs: int, jobs_per_s: float = PACE_JOBS_PER_S
) -> Counts:
    """Requests by operation for jobs that are sent one by one to a process that waits for them."""
    with (
        request_count.running(on.sqs, on.folder) as proxy,
        bench_queue.made(on.sqs, fleet_run.queue_name("paced", system)) as queue,
    ):
        place = fleet_run.place_of(on, proxy.address, queue)
        letters = system.letters(place, FIRST_JOBS + jobs)
        first, paced = letters[:FIRST_JOBS], letters[FIRST_JOBS:]
        with fleet_run.started(on, system, place, queue, first, processes=1) as children:
            fleet_run.wait_for_jobs(on, system, children, FIRST_JOBS)
            queue.wait_until_empty()
            proxy.forget()
            began = time.monotonic()
            for number, letter in enumerate(paced):
                time.sleep(max(0.0, began + number / jobs_per_s - time.monotonic()))
                queue.fill([letter])
            fleet_run.wait_for_jobs(on, system, children, FIRST_JOBS + jobs)
            queue.wait_until_empty()
            return proxy.counts()


def _counted(
    label: str, bills: Mapping[str, Callable[[], Counts]], runs: int, progress: Progress
) -> Seen:
    """Each system's requests, all operations together, run by run."""
    seen: Seen = defaultdict(list)
    for name, counts in interleaved(runs, bills):
        seen[name].append(sum(counts.values()))
        said = ", ".join(f"{operation} {count}" for operation, count in sorted(counts.items()))
        progress(f"{name}: {label}: {said}")
    return seen


def _figures(
    part: str, label: str, seen: Seen, jobs: int, kind: Literal["<", "<="]
) -> list[Figure]:
    """One figure for each system; ours is held to the least of the others'."""
    bills = {name: [count * PER_JOBS / jobs for count in counts] for name, counts in seen.items()}
    least = min((median(values) for name, values in bills.items() if name != OURS), default=None)
    bound = Bound(kind, least) if least is not None else None
    return [
        Figure.of(part, f"{name}: {label}", UNIT, values, bound if name == OURS else None)
        for name, values in bills.items()
    ]
