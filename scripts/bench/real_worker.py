"""Real workers on real speech: a queue, an inbox, and one line's files, for what is timed whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from scripts.bench import bench_queue, load_inbox, object_server, sqs_server
from scripts.bench.bench_queue import BenchQueue
from scripts.bench.lines import Line
from scripts.bench.load_inbox import InboxClient
from scripts.bench.object_server import BUCKET
from scripts.bench.systems import SECRET, Letter, job_id
from scripts.chaos.fleet import worker_environment
from scripts.child_process import ChildError, ChildProcess

START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 60.0
LEAST_EVENT_BYTES: Final = 2_000
"""Of an event with a result; one that says that the analysis failed is a third of it."""
MB: Final = 2**20


@dataclass(frozen=True)
class Stand:
    """What the workers of one run share."""

    sqs: str
    s3: str
    inbox: InboxClient
    folder: Path


@contextmanager
def stand(folder: Path, lines: Mapping[str, Line]) -> Iterator[Stand]:
    """Start the servers, with the lines' files on them, and the inbox.

    Raises
    ------
    NotInstalledError
        There is no SQS server for load.
    """
    files = folder / "objects"
    files.mkdir()
    for name, line in lines.items():
        (files / f"{name}.flac").write_bytes(line.audio)
        (files / f"{name}.TextGrid").write_bytes(line.textgrid)
        (files / f"{name}.json").write_bytes(line.pitch)
    with ExitStack() as stack:
        sqs = stack.enter_context(sqs_server.running(sqs_server.chosen(), folder))
        s3 = stack.enter_context(object_server.running(folder, files))
        inbox = stack.enter_context(load_inbox.running(folder))
        yield Stand(sqs, s3, inbox, folder)


def letter(on: Stand, number: int, line: str) -> Letter:
    """One job about one of the lines."""
    return Letter(
        json.dumps(
            {
                "job_id": job_id(number),
                "s3_audio_url": f"s3://{BUCKET}/{line}.flac",
                "s3_textgrid_url": f"s3://{BUCKET}/{line}.TextGrid",
                "s3_pitch_url": f"s3://{BUCKET}/{line}.json",
                "webhook_url": on.inbox.webhook,
            }
        )
    )


@contextmanager
def working(
    on: Stand, *, processes: int, sqs: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[BenchQueue, ChildProcess]]:
    """Start a worker on a queue of its own and wait until it is ready; both end with the block.

    Parameters
    ----------
    processes
        Analysis processes.
    sqs
        Where the worker finds SQS, if that is not the server itself.
    """
    on.inbox.forget()
    with bench_queue.made(on.sqs, "bench-real") as queue:
        environment = worker_environment(
            sqs=sqs or on.sqs,
            s3=on.s3,
            queue_url=queue.url,
            secret=SECRET,
            settings={
                "WORKER_CONCURRENCY": str(processes),
                "WORKER_CHILD_MAX_JOBS": "1000000",
                "WORKER_CHILD_MAX_MB": "8192",
                "PYTHONUNBUFFERED": "1",
                **(settings or {}),
            },
        )
        with ChildProcess(
            "worker", [sys.executable, "-m", "worker", "run"],
            environment=environment, folder=on.folder, stop_timeout_s=STOP_TIMEOUT_S,
        ) as worker:  # fmt: skip
            worker.wait_for(r'"event":\s*"ready"', timeout_s=START_TIMEOUT_S)
            yield queue, worker


def check_that_scored(inbox: InboxClient) -> None:
    """Raise ChildError if the last event holds no result: then nothing real was measured."""
    size = inbox.count().body_bytes
    if size < LEAST_EVENT_BYTES:
        raise ChildError(f"an event of {size} bytes is no result")


def analysis_processes(worker: ChildProcess) -> list[psutil.Process]:
    """The worker's children, without Python's own resource tracker."""
    return [
        child
        for child in psutil.Process(worker.pid).children()
        if any("spawn_main" in argument for argument in child.cmdline())
    ]


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """User and system time so far of these processes together."""
    return sum(times.user + times.system for times in (one.cpu_times() for one in processes))
