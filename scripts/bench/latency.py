"""From the send of a message to its webhook, on a worker that has nothing else to do."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from scripts.bench import real_worker
from scripts.bench.figure import Bound, Figure
from scripts.bench.lines import join

PART: Final = "latency"
JOBS: Final = 200
UNTIMED: Final = 5
LINES_S: Final = (3.0, 10.0)
PERCENTILES: Final = (50, 95, 99)
BOUNDED: Final = 95
PER_AUDIO_SECOND: Final = 0.12
BESIDE_S: Final = 0.25
TIMEOUT_S: Final = 60.0


def measure(runs: int, *, jobs: int = JOBS) -> list[Figure]:
    """Send jobs one by one, each when the worker is idle again; `jobs` in all for each run.

    Raises
    ------
    NotInstalledError
        There is no SQS server for load.
    """
    lines = {f"line{seconds:g}": join(seconds) for seconds in LINES_S}
    found: dict[str, list[list[float]]] = {name: [] for name in lines}
    with tempfile.TemporaryDirectory() as scratch, real_worker.stand(Path(scratch), lines) as on:
        for _ in range(runs):
            for name in lines:
                found[name].append(_delays_s(on, name, jobs // len(lines)))
    return [
        Figure.of(
            PART,
            f"send to webhook, {line.seconds:.1f} s of speech, p{percentile}",
            "s",
            [float(np.percentile(delays, percentile)) for delays in found[name]],
            Bound("<=", round(line.seconds * PER_AUDIO_SECOND + BESIDE_S, 2))
            if percentile == BOUNDED
            else None,
        )
        for name, line in lines.items()
        for percentile in PERCENTILES
    ]


def _delays_s(on: real_worker.Stand, line: str, jobs: int) -> list[float]:
    delays = []
    with real_worker.working(on, processes=1) as (
        queue,
        _,
    ):
        for number in range(UNTIMED + jobs):
            message = real_worker.letter(on, number, line)
            began = time.perf_counter()
            queue.fill([message])
            on.inbox.wait_for(number + 1, timeout_s=TIMEOUT_S)
            delays.append(time.perf_counter() - began)
            queue.wait_until_empty()
        real_worker.check_that_scored(on.inbox)
    return delays[UNTIMED:]
