"""The worker's I/O process on jobs that compute nothing, against a bare loop of the same calls."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from scripts import local_servers
from scripts.bench import bench_queue, load_inbox
from scripts.bench.figure import Figure, interleaved
from scripts.bench.load_inbox import InboxClient
from scripts.bench.real_worker import cpu_s
from scripts.bench.server_process import ROOT
from scripts.bench.systems import SECRET, Letter
from scripts.chaos.fleet import worker_environment
from scripts.child_process import ChildProcess

PART: Final = "throughput"
JOBS: Final = 600
UNCOUNTED: Final = 100
"""Of the jobs: connections are opened and code is first run."""
TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 60.0
SERVER: Final = "localstack"


@dataclass(frozen=True)
class Pace:
    """What the counted jobs took."""

    cpu_ms_per_job: float
    jobs_per_s: float


@dataclass(frozen=True)
class _Place:
    sqs: str
    inbox: InboxClient
    folder: Path


def measure(runs: int, *, jobs: int = JOBS) -> list[Figure]:
    """Run the worker and the bare loop in turn, on so many jobs each.

    Raises
    ------
    NotInstalledError
        There is no server for the load.
    """
    paces: dict[str, list[Pace]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            local_servers.running(SERVER, folder) as address,
            load_inbox.running(folder) as inbox,
        ):
            place = _Place(address, inbox, folder)
            things = {name: partial(_pace, name, place, jobs) for name in ("worker", "bare")}
            for name, pace in interleaved(runs, things):
                paces[name].append(pace)
    cpu = {name: [one.cpu_ms_per_job for one in found] for name, found in paces.items()}
    speed = {name: [one.jobs_per_s for one in found] for name, found in paces.items()}
    return [
        Figure.of(PART, "I/O process", "ms CPU per job", cpu["worker"]),
        Figure.of(PART, "bare loop", "ms CPU per job", cpu["bare"]),
        Figure.ratio(PART, "CPU per job, I/O process / bare loop", cpu["worker"], cpu["bare"]),
        Figure.ratio(PART, "jobs a second, worker / bare loop", speed["worker"], speed["bare"]),
    ]


def _pace(name: str, place: _Place, jobs: int) -> Pace:
    """Fill a new queue, start the system, and count from the hundredth job to the last."""
    with bench_queue.made(place.sqs, f"bench-{name}") as queue:
        queue.fill([_letter(number, place.inbox.webhook) for number in range(jobs)])
        place.inbox.forget()
        module, environment = _program(name, place.sqs, queue.url)
        with ChildProcess(
            name, [sys.executable, "-m", *module],
            environment=environment, folder=place.folder, stop_timeout_s=STOP_TIMEOUT_S,
        ) as system:  # fmt: skip
            process = psutil.Process(system.pid)
            before = place.inbox.wait_for(UNCOUNTED, timeout_s=TIMEOUT_S)
            cpu_before = cpu_s([process])
            after = place.inbox.wait_for(jobs, timeout_s=TIMEOUT_S)
            used_s = cpu_s([process]) - cpu_before
            queue.wait_until_empty()
    counted = after.jobs - before.jobs
    return Pace(1000.0 * used_s / counted, counted / (after.took_s - before.took_s))


def _program(name: str, sqs: str, queue_url: str) -> tuple[list[str], Mapping[str, str]]:
    if name == "worker":
        settings = {
            "WORKER_HANDLERS": "scripts.noop_jobs",
            "WORKER_CONCURRENCY": "1",
            "WORKER_WAIT_TIME_S": "1",
            "WORKER_LOG_LEVEL": "WARNING",
        }
        return ["worker", "run"], worker_environment(
            sqs=sqs, s3=sqs, queue_url=queue_url, secret=SECRET, settings=settings
        )
    return ["scripts.bench.bare_loop"], {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BENCH_SQS": sqs,
        "BENCH_QUEUE_URL": queue_url,
    }


def _letter(number: int, webhook: str) -> Letter:
    job = {"job_id": f"bench-{number:06}", "s3_audio_url": "s3://none/none", "webhook_url": webhook}
    return Letter(json.dumps(job), {"job_type": "noop"})
