"""Whether a worker's resident memory stays where it was over thousands of real scores."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
import psutil

from scripts import local_servers
from scripts.bench import bench_queue, load_inbox
from scripts.bench.figure import Bound, Figure
from scripts.bench.lines import join
from scripts.bench.systems import SECRET, Letter
from scripts.chaos.fleet import worker_environment
from scripts.child_process import ChildError, ChildProcess

if TYPE_CHECKING:
    from scripts.bench.bench_queue import BenchQueue
    from scripts.bench.load_inbox import InboxClient

PART: Final = "memory"
JOBS: Final = 5_000
SETTLING_SHARE: Final = 0.1
"""Of the jobs: until then caches fill and allocators find their size."""
WINDOW_SHARE: Final = 0.05
"""Of the jobs: what is held against each other are medians over so many at either end."""
LINE_S: Final = 2.0
PROCESSES: Final = 2
BACKLOG: Final = 200
"""No more messages at once, so that the server's size is not what slows the run."""
SAMPLE_S: Final = 0.5
STUCK_S: Final = 120.0
START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 60.0
SERVER: Final = "localstack"
BUCKET: Final = "bench"
MB: Final = 2**20

LEAST_EVENT_BYTES: Final = 2_000
"""Of an event with a result; one that says that the analysis failed is a third of it."""

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
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            local_servers.running(SERVER, folder) as address,
            load_inbox.running(folder) as inbox,
            bench_queue.made(address, "bench-memory") as queue,
        ):
            _upload(address)
            environment = worker_environment(
                sqs=address,
                s3=address,
                queue_url=queue.url,
                secret=SECRET,
                settings={
                    "WORKER_CONCURRENCY": str(PROCESSES),
                    "WORKER_WAIT_TIME_S": "1",
                    "WORKER_CHILD_MAX_JOBS": "1000000",
                    "WORKER_CHILD_MAX_MB": "8192",
                    "WORKER_RESULT_CACHE": "false",
                    "PYTHONUNBUFFERED": "1",
                },
            )
            command = [sys.executable, "-m", "worker", "run"]
            with ChildProcess(
                "worker", command, environment=environment, folder=folder,
                stop_timeout_s=STOP_TIMEOUT_S,
            ) as worker:  # fmt: skip
                worker.wait_for(r'"event":\s*"ready"', timeout_s=START_TIMEOUT_S)
                return _watch(jobs, queue, inbox, worker)


def _upload(address: str) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106  the server asks for some key
    )
    line = join(LINE_S)
    s3.create_bucket(Bucket=BUCKET)
    for key, body in (
        ("a.flac", line.audio),
        ("a.TextGrid", line.textgrid),
        ("a.json", line.pitch),
    ):
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def _watch(jobs: int, queue: BenchQueue, inbox: InboxClient, worker: ChildProcess) -> list[Sample]:
    """Keep the queue filled and look at the processes until every job's event has come."""
    children = {child.pid: f"analysis process {n}" for n, child in enumerate(_children(worker), 1)}
    samples: list[Sample] = []
    sent = 0
    moved_at = time.monotonic()
    while True:
        count = inbox.count()
        done = count.jobs
        if done and count.body_bytes < LEAST_EVENT_BYTES:
            raise ChildError(f"an event of {count.body_bytes} bytes is no result")
        resident = {IO: _resident_mb(worker.pid)}
        for pid, name in children.items():
            resident[name] = _resident_mb(pid)
        if not samples or done > samples[-1].done:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STUCK_S:
            raise ChildError(f"no job was done for {STUCK_S:.0f} s.\n{worker.log_tail()}")
        samples.append(Sample(done, resident))
        if done >= jobs:
            return samples
        more = min(jobs, done + BACKLOG) - sent
        queue.fill([_letter(number, inbox.webhook) for number in range(sent, sent + more)])
        sent += max(more, 0)
        time.sleep(SAMPLE_S)


def _children(worker: ChildProcess) -> list[psutil.Process]:
    """The analysis processes, without Python's own resource tracker."""
    return [
        child
        for child in psutil.Process(worker.pid).children()
        if any("spawn_main" in argument for argument in child.cmdline())
    ]


def _resident_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / MB
    except psutil.NoSuchProcess:
        raise ChildError(f"process {pid} of the worker has ended: nothing to compare") from None


def _letter(number: int, webhook: str) -> Letter:
    job = {
        "job_id": f"bench-{number:06}",
        "s3_audio_url": f"s3://{BUCKET}/a.flac",
        "s3_textgrid_url": f"s3://{BUCKET}/a.TextGrid",
        "s3_pitch_url": f"s3://{BUCKET}/a.json",
        "webhook_url": webhook,
    }
    return Letter(json.dumps(job))
