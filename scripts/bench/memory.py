"""Whether a worker's resident memory stays where it was over thousands of real scores."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from scripts.bench import real_worker
from scripts.bench.figure import Bound, Figure
from scripts.bench.lines import join
from scripts.child_process import ChildError, ChildProcess

if TYPE_CHECKING:
    from scripts.bench.bench_queue import BenchQueue

PART: Final = "memory"
JOBS: Final = 5_000
SETTLING_SHARE: Final = 0.1
"""Of the jobs: until then caches fill and allocators find their size."""
WINDOW_SHARE: Final = 0.05
"""Of the jobs: what is held against each other are medians over so many at either end."""
LINE: Final = "line"
LINE_S: Final = 2.0
PROCESSES: Final = 2
BACKLOG: Final = 200
"""No more messages at once, so that the server's size is not what slows the run."""
SAMPLE_S: Final = 0.5
STUCK_S: Final = 120.0
MB: Final = 2**20

FLAT: Final = Bound("<=", 1.05)
IO: Final = "I/O process"


@dataclass(frozen=True)
class Sample:
    """Resident MB of each process after so many jobs."""

    done: int
    resident_mb: dict[str, float]


def measure(runs: int, *, jobs: int = JOBS) -> list[Figure]:
    """Score so many recordings with one worker of two processes, as often as `runs` says.

    Raises
    ------
    NotInstalledError
        There is no server for the load.
    ChildError
        The worker stopped working, or replaced a process of its own.
    """
    first: dict[str, list[float]] = defaultdict(list)
    last: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        samples = _soak(jobs)
        for name, (began, ended) in at_both_ends(samples, jobs).items():
            first[name].append(began)
            last[name].append(ended)
    settled = round(jobs * SETTLING_SHARE)
    figures = []
    for name, before in first.items():
        ratio = f"{name}, after {jobs:,} scores / after {settled:,}"
        figures += [
            Figure.of(PART, f"{name}, resident after {jobs:,} scores", "MB", last[name]),
            Figure.ratio(PART, ratio, last[name], before, FLAT),
        ]
    return figures


def at_both_ends(samples: list[Sample], jobs: int) -> dict[str, tuple[float, float]]:
    """The median of each process after the settling, and at the end.

    Raises
    ------
    ValueError
        There is no sample in one of the two stretches.
    """
    window = jobs * WINDOW_SHARE
    settled = jobs * SETTLING_SHARE
    early = [one for one in samples if settled <= one.done < settled + window]
    late = [one for one in samples if one.done > jobs - window]
    if not early or not late:
        raise ValueError(f"{len(early)} and {len(late)} samples at the ends of {jobs} jobs")
    return {
        name: (
            statistics.median(one.resident_mb[name] for one in early),
            statistics.median(one.resident_mb[name] for one in late),
        )
        for name in late[-1].resident_mb
    }


def _soak(jobs: int) -> list[Sample]:
    with (
        tempfile.TemporaryDirectory() as scratch,
        real_worker.stand(Path(scratch), {LINE: join(LINE_S)}) as on,
        real_worker.working(on, processes=PROCESSES) as (queue, worker),
    ):
        return _watch(jobs, on, queue, worker)


def _watch(
    jobs: int, on: real_worker.Stand, queue: BenchQueue, worker: ChildProcess
) -> list[Sample]:
    """Keep the queue filled and look at the processes until every job's event has come."""
    names = {IO: worker.pid} | {
        f"analysis process {number}": child.pid
        for number, child in enumerate(real_worker.analysis_processes(worker), 1)
    }
    samples: list[Sample] = []
    sent = 0
    moved_at = time.monotonic()
    while True:
        done = on.inbox.count().jobs
        if done:
            real_worker.check_that_scored(on.inbox)
        if not samples or done > samples[-1].done:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STUCK_S:
            raise ChildError(f"no job was done for {STUCK_S:.0f} s.\n{worker.log_tail()}")
        samples.append(Sample(done, {name: _resident_mb(pid) for name, pid in names.items()}))
        if done >= jobs:
            return samples
        more = max(0, min(jobs, done + BACKLOG) - sent)
        queue.fill([real_worker.letter(on, n, LINE) for n in range(sent, sent + more)])
        sent += more
        time.sleep(SAMPLE_S)


def _resident_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / MB
    except psutil.NoSuchProcess:
        raise ChildError(f"process {pid} of the worker has ended: nothing to compare") from None
