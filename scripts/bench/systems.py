"""What is compared: how each system is started, and the messages that it understands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.bench.fetch_jobs import JOB_TYPE
from scripts.bench.object_server import BUCKET, KEY
from scripts.bench.server_process import ROOT
from scripts.chaos.fleet import worker_environment

OURS: Final = "ours"
SECRET: Final = "whsec_c29hayBydW5zIG9uIGxvb3BiYWNrIGFsb25l"  # noqa: S105  signs nothing real


@dataclass(frozen=True)
class Place:
    """Where one run happens."""

    sqs: str
    s3: str
    webhook: str
    queue_name: str
    queue_url: str
    folder: Path


@dataclass(frozen=True)
class Letter:
    """One message as it is sent: the body, and string attributes."""

    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """One program to run."""

    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class System:
    """One way to run jobs from a queue."""

    name: str
    start: Callable[[Place, int], list[Start]]
    """The programs for so many worker processes, in its own way of running them."""
    letters: Callable[[Place, int], list[Letter]]
    """So many messages, as its own producer would send them."""
    needs: Path | None = None
    """What is there once it is installed."""

    @property
    def is_installed(self) -> bool:
        """Whether it can be run."""
        return self.needs is None or self.needs.exists()


def job_id(number: int) -> str:
    """Name one job."""
    return f"bench-{number:06}"


def job(place: Place, number: int) -> dict[str, str]:
    """What a job says, whoever does it."""
    return {
        "job_id": job_id(number),
        "s3_audio_url": f"s3://{BUCKET}/{KEY}",
        "webhook_url": place.webhook,
    }


def _start_ours(place: Place, processes: int) -> list[Start]:
    environment = worker_environment(
        sqs=place.sqs,
        s3=place.s3,
        queue_url=place.queue_url,
        secret=SECRET,
        settings={
            "WORKER_HANDLERS": "scripts.bench.fetch_jobs",
            "WORKER_CONCURRENCY": "1",
            "WORKER_CHILD_MAX_JOBS": "1000000",
            # Lines for each job are an operator's choice with each of the systems; none has them.
            "WORKER_LOG_LEVEL": "WARNING",
        },
    )
    return [Start([sys.executable, "-m", "worker", "run"], environment)] * processes


def _letters_ours(place: Place, jobs: int) -> list[Letter]:
    return [
        Letter(json.dumps(job(place, number)), {"job_type": JOB_TYPE}) for number in range(jobs)
    ]


SYSTEM: Final = System(OURS, _start_ours, _letters_ours)


def rival_environment(place: Place) -> dict[str, str]:
    """What a rival's program is given."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "HOME": str(place.folder),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BENCH_SQS": place.sqs,
        "BENCH_S3": place.s3,
        "BENCH_QUEUE_NAME": place.queue_name,
        "BENCH_QUEUE_URL": place.queue_url,
    }
