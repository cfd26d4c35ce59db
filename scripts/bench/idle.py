"""What a worker costs that has nothing to do: SQS calls and processor time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from scripts.bench import real_worker, request_count
from scripts.bench.figure import Bound, Figure

PART: Final = "idle"
WATCHED_S: Final = 121.0
"""Six long polls of the default length."""
SETTLING_S: Final = 5.0
"""After the first poll has begun: what a start leaves behind is no idle cost."""
PROCESSES: Final = 2

CALLS: Final = Bound("<=", 200)
CPU: Final = Bound("<=", 0.5)


def measure(runs: int, *, watched_s: float = WATCHED_S) -> list[Figure]:
    """Watch a worker with the default settings and an empty queue.

    Raises
    ------
    NotInstalledError
        There is no SQS server for load.
    """
    calls, io, children = [], [], []
    with tempfile.TemporaryDirectory() as scratch, real_worker.stand(Path(scratch), {}) as on:
        for _ in range(runs):
            with (
                request_count.running(on.sqs, on.folder) as proxy,
                real_worker.working(on, processes=PROCESSES, sqs=proxy.address) as (_, worker),
            ):
                time.sleep(SETTLING_S)
                main = [psutil.Process(worker.pid)]
                analysis = real_worker.analysis_processes(worker)
                began = time.monotonic()
                counted = sum(proxy.counts().values())
                before = real_worker.cpu_s(main), real_worker.cpu_s(analysis)
                time.sleep(watched_s)
                took_s = time.monotonic() - began
                calls.append((sum(proxy.counts().values()) - counted) * 3600 / took_s)
                io.append(100 * (real_worker.cpu_s(main) - before[0]) / took_s)
                children.append(100 * (real_worker.cpu_s(analysis) - before[1]) / took_s)
    both = [one + other for one, other in zip(io, children, strict=True)]
    return [
        Figure.of(PART, "SQS calls of one queue", "an hour", calls, CALLS),
        Figure.of(PART, "the whole worker, two analysis processes", "% of a core", both, CPU),
        Figure.of(PART, "of that, the I/O process", "% of a core", io),
    ]
