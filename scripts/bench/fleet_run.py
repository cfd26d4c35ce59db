"""One run of one system: the queue is full, the system starts, and the inbox counts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from scripts.bench import bench_queue, load_inbox, object_server, sqs_server
from scripts.bench.load_inbox import Count, InboxClient
from scripts.bench.systems import Letter, Place, System
from scripts.child_process import ChildError, ChildProcess

LEAST_JOBS_PER_S: Final = 20.0
"""A system slower than this has broken down."""

WARMING_SHARE: Final = 0.1
"""The first jobs of a run open connections, start the second process and warm a JIT: untimed."""

START_ALLOWANCE_S: Final = 60.0
STOP_TIMEOUT_S: Final = 0.2
"""A run is over with its last job: how a system stops is not measured, and it is killed."""

MS_PER_S: Final = 1000.0

Progress = Callable[[str], None]
"""Takes a line that says how far a measurement is."""

_NUMBERS: Final = itertools.count(1)
_LOOK_S: Final = 2.0
"""How often it is looked whether a program has ended."""


@dataclass(frozen=True)
class Stand:
    """What all the systems share: the servers and the inbox."""

    server: str
    """Which SQS server it is."""
    sqs: str
    s3: str
    inbox: InboxClient
    folder: Path


@contextmanager
def stand(folder: Path, server: str | None = None) -> Iterator[Stand]:
    """Start the servers and the inbox. Raises `ChildError` if one is missing or does not start."""
    name = server or sqs_server.chosen()
    with ExitStack() as stack:
        sqs = stack.enter_context(sqs_server.running(name, folder))
        s3 = stack.enter_context(object_server.running(folder))
        inbox = stack.enter_context(load_inbox.running(folder))
        yield Stand(name, sqs, s3, inbox, folder)


@dataclass(frozen=True)
class Run:
    """What came of one run."""

    count: Count
    cpu_ms_per_job: float
    """User and system time of all the system's processes, from the first timed job to the last."""

    @property
    def jobs_per_s(self) -> float:
        """Throughput from the first timed POST to the last."""
        return self.count.jobs_per_s


def throughput(on: Stand, system: System, *, processes: int, jobs: int) -> Run:
    """Run `jobs` jobs, the queue full before the system starts.

    Raises
    ------
    ChildError
        A program of the system ended, or was too slow, with the end of its log.
    """
    with bench_queue.made(on.sqs, queue_name("bench", system)) as queue:
        place = place_of(on, on.sqs, queue)
        letters = system.letters(place, jobs)
        with started(on, system, place, queue, letters, processes=processes) as children:
            untimed = max(1, round(jobs * WARMING_SHARE))
            wait_for_jobs(on, system, children, untimed)
            cpu_before_s = _cpu_s(children)
            count = wait_for_jobs(on, system, children, jobs, untimed=untimed)
            cpu_s = _cpu_s(children) - cpu_before_s
        return Run(count, cpu_s * MS_PER_S / (jobs - untimed))


def place_of(on: Stand, sqs: str, queue: bench_queue.BenchQueue) -> Place:
    """Where a system finds its queue; `sqs` is the server, or a proxy before it."""
    return Place(sqs, on.s3, on.inbox.webhook, queue.name, queue.url, on.folder)


def queue_name(what: str, system: System) -> str:
    """Name the queue of one run, as none before it was named."""
    return f"{what}-{system.name}-{next(_NUMBERS)}"


@contextmanager
def started(
    on: Stand,
    system: System,
    place: Place,
    queue: bench_queue.BenchQueue,
    letters: Sequence[Letter],
    *,
    processes: int,
) -> Iterator[list[ChildProcess]]:
    """Fill the queue, and start a system's programs; they end with the block."""
    queue.fill(letters)
    on.inbox.forget()
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                ChildProcess(
                    f"{system.name}-{number}",
                    start.command,
                    environment=start.environment,
                    folder=on.folder,
                    stop_timeout_s=STOP_TIMEOUT_S,
                )
            )
            for number, start in enumerate(system.start(place, processes), start=1)
        ]


def _cpu_s(children: list[ChildProcess]) -> float:
    """CPU time so far of these programs and all that they started and still runs."""
    total = 0.0
    for child in children:
        with suppress(psutil.NoSuchProcess):
            program = psutil.Process(child.pid)
            for process in (program, *program.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    total += times.user + times.system
    return total


def wait_for_jobs(
    on: Stand, system: System, children: list[ChildProcess], jobs: int, *, untimed: int = 1
) -> Count:
    """Wait until so many jobs have been posted.

    Raises
    ------
    ChildError
        A program of the system ended, or was too slow, with the end of its log.
    """
    give_up_at = time.monotonic() + START_ALLOWANCE_S + jobs / LEAST_JOBS_PER_S
    while True:
        try:
            return on.inbox.wait_for(jobs, timeout_s=_LOOK_S, untimed=untimed)
        except TimeoutError as error:
            ended = next((child for child in children if child.exit_code() is not None), None)
            if ended is not None:
                raise ChildError(
                    f"{system.name} ended with {ended.exit_code()}.\n{ended.log_tail()}"
                ) from error
            if time.monotonic() > give_up_at:
                said = "\n".join(child.log_tail() for child in children)
                raise ChildError(f"{system.name}: {error}\n{said}") from error
