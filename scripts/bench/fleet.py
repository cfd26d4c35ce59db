"""Fleet overhead: jobs a second and SQS requests a job, against what people would use instead.

    .venv/bin/python -m scripts.bench.fleet [--runs 5] [--jobs 2000] [--processes 1 2]
                                            [--only ours celery …] [--json]

Each job is the same for all: a message, one GET of the same S3 object, no computing, one POST of
a JSON body of the same length, the message deleted. Ours alone also signs the body, checks where
it goes, and sends the job through an analysis process. The queue is full before a system starts;
the time runs from the tenth part of the POSTs to the last, so no start is in it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from scripts.bench import bill, ceiling, fleet_run
from scripts.bench.figure import Bound, Figure, interleaved
from scripts.bench.fleet_run import Progress, Run, Stand
from scripts.bench.rival_systems import RIVALS
from scripts.bench.systems import OURS, SYSTEM, System
from scripts.bench.table import terminal
from scripts.child_process import ChildError

PART: Final = "fleet"
SYSTEMS: Final = {OURS: SYSTEM, **RIVALS}
DEFAULT_RUNS: Final = 5
DEFAULT_JOBS: Final = 2000
DEFAULT_PROCESSES: Final = (1, 2)
CEILING_RUNS: Final = 3
CEILING_MESSAGES: Final = 4000
CEILING_MESSAGES_ONE_BY_ONE: Final = 800

FASTER: Final = Bound(">=", 1.0)


def to_stderr(line: str) -> None:
    """Say how far it is, away from the figures."""
    print(line, file=sys.stderr, flush=True)


def measure(
    runs: int,
    *,
    jobs: int = DEFAULT_JOBS,
    processes: Sequence[int] = DEFAULT_PROCESSES,
    only: Sequence[str] = (),
    progress: Progress = to_stderr,
) -> list[Figure]:
    """Measure the server, then the systems in turn, then their bills.

    Parameters
    ----------
    runs
        Rounds; in each, every system runs once with each number of processes.
    jobs
        Jobs of one run.
    only
        Names of systems; none = all. One that is not installed is named to `progress` and left
        out.

    Raises
    ------
    ChildError
        A server or a system did not start, ended or broke down; with the end of its log.
    """
    wanted = [system for name, system in SYSTEMS.items() if not only or name in only]
    systems = installed(wanted, progress)
    with tempfile.TemporaryDirectory() as scratch, fleet_run.stand(Path(scratch)) as on:
        return [
            *_ceiling(on, progress),
            *_throughput(on, systems, runs=runs, jobs=jobs, processes=processes, progress=progress),
            *bill.measure(PART, on, systems, runs, progress),
        ]


def installed(systems: Sequence[System], progress: Progress) -> list[System]:
    """Those that can be run; the others are named."""
    for system in systems:
        if not system.is_installed:
            progress(f"{system.name} is not installed and left out: run `make rivals`")
    return [system for system in systems if system.is_installed]


def _ceiling(on: Stand, progress: Progress) -> list[Figure]:
    ways = {
        f"{on.server}, received and deleted in tens": partial(
            ceiling.in_tens, on.sqs, CEILING_MESSAGES
        ),
        f"{on.server}, received and deleted one by one": partial(
            ceiling.one_by_one, on.sqs, CEILING_MESSAGES_ONE_BY_ONE
        ),
    }
    seen: dict[str, list[float]] = defaultdict(list)
    for name, value in interleaved(CEILING_RUNS, ways):
        seen[name].append(value)
        progress(f"{name}: {value:,.0f} messages/s")
    return [Figure.of(PART, name, "messages/s", values) for name, values in seen.items()]


def _throughput(
    on: Stand,
    systems: Sequence[System],
    *,
    runs: int,
    jobs: int,
    processes: Sequence[int],
    progress: Progress,
) -> list[Figure]:
    names = {
        (system.name, count): f"{system.name}, {_processes(count)}"
        for count in processes
        for system in systems
    }
    by_name = {system.name: system for system in systems}
    things = {
        label: partial(fleet_run.throughput, on, by_name[name], processes=count, jobs=jobs)
        for (name, count), label in names.items()
    }
    seen: dict[str, list[Run]] = defaultdict(list)
    for label, run in interleaved(runs, things):
        seen[label].append(run)
        repeated = run.count.posts - run.count.jobs
        progress(
            f"{label}: {run.jobs_per_s:.1f} jobs/s, {run.cpu_ms_per_job:.2f} ms of CPU a job"
            + (f", {repeated} POSTs too many" if repeated else "")
        )
    rates = {label: [run.jobs_per_s for run in done] for label, done in seen.items()}
    figures = [Figure.of(PART, label, "jobs/s", values) for label, values in rates.items()]
    figures += [
        Figure.of(PART, f"{label}: CPU", "ms/job", [run.cpu_ms_per_job for run in done])
        for label, done in seen.items()
    ]
    figures += [
        Figure.ratio(
            PART,
            f"jobs/s of ours over {name}, {_processes(count)}",
            rates[names[OURS, count]],
            rates[label],
            FASTER,
        )
        for (name, count), label in names.items()
        if name != OURS and (OURS, count) in names
    ]
    return figures


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"


def main() -> int:
    """Measure, print, and exit 1 if a bound was not met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS)
    parser.add_argument("--jobs", type=int, default=DEFAULT_JOBS)
    parser.add_argument("--processes", type=int, nargs="+", default=list(DEFAULT_PROCESSES))
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=[])
    parser.add_argument("--json", action="store_true", help="the figures as JSON on stdout")
    options = parser.parse_args()
    # So that whoever ends this ends the servers and workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        figures = measure(
            options.runs,
            jobs=options.jobs,
            processes=options.processes,
            only=options.only,
        )
    except ChildError as error:
        to_stderr(str(error))
        return 2
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        Console().print(terminal(figures, "fleet overhead"))
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
