"""The systems that people would use instead: how each is started, and who writes its messages.

Which documented knobs were turned stands at the head of each program in `rivals/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Final

from scripts.bench.server_process import ROOT
from scripts.bench.sqs_server import NODE_MODULES
from scripts.bench.systems import Letter, Place, Start, System, job, rival_environment
from scripts.child_process import ChildError

PYTHON: Final = ROOT / ".venv-rivals" / "bin" / "python"
PROGRAMS: Final = "scripts.bench.rivals"
THREADS: Final = 8
"""For Celery and Dramatiq, each process; Dramatiq's default. 4 and 16 were tried and not better."""

ASYNC_TASKS: Final = 32
"""For taskiq, each process. 10 and 100, its default, were tried and not better."""

_LETTERS_TIMEOUT_S: Final = 120.0


def _letters(program: str) -> Callable[[Place, int], list[Letter]]:
    """Have the rival's own producer write the messages."""

    def letters(place: Place, jobs: int) -> list[Letter]:
        done = subprocess.run(
            [str(PYTHON), "-m", f"{PROGRAMS}.{program}"],
            env=rival_environment(place),
            input="".join(json.dumps(job(place, number)) + "\n" for number in range(jobs)),
            capture_output=True,
            text=True,
            timeout=_LETTERS_TIMEOUT_S,
            check=False,
        )
        written = [Letter(**json.loads(line)) for line in done.stdout.splitlines()]
        if done.returncode != 0 or len(written) != jobs:
            raise ChildError(f"{program} wrote {len(written)} of {jobs} messages: {done.stderr}")
        return written

    return letters


def _start_celery(place: Place, processes: int) -> list[Start]:
    """One worker ("node") for each process: with threads a worker is one process."""
    environment = rival_environment(place) | {"BENCH_THREADS": str(THREADS)}
    command = [
        *(str(PYTHON), "-m", "celery", "-A", f"{PROGRAMS}.celery_app", "worker"),
        *("-P", "threads", "-c", str(THREADS), "-l", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    return [
        Start([*command, "-n", f"bench{number}@%h"], environment) for number in range(processes)
    ]


def _start_dramatiq(place: Place, processes: int) -> list[Start]:
    environment = rival_environment(place) | {
        "BENCH_THREADS": str(THREADS),
        "dramatiq_queue_prefetch": "10",
    }
    command = [
        *(str(PYTHON), "-m", "dramatiq", f"{PROGRAMS}.dramatiq_app"),
        *("--processes", str(processes), "--threads", str(THREADS)),
    ]
    return [Start(command, environment)]


def _start_taskiq(place: Place, processes: int) -> list[Start]:
    command = [
        *(str(PYTHON), "-m", "taskiq", "worker", f"{PROGRAMS}.taskiq_app:broker"),
        *("--workers", str(processes), "--max-async-tasks", str(ASYNC_TASKS)),
        *("--max-prefetch", str(ASYNC_TASKS), "--ack-type", "when_executed", "--no-parse"),
        *("--log-level", "WARNING"),
    ]
    return [Start(command, rival_environment(place))]


def _start_sqs_consumer(place: Place, processes: int) -> list[Start]:
    program = NODE_MODULES.parent / "sqs_consumer.mjs"
    environment = rival_environment(place) | {"AWS_REGION": "us-east-1"}
    return [Start(["node", str(program)], environment)] * processes


def _letters_sqs_consumer(place: Place, jobs: int) -> list[Letter]:
    return [Letter(json.dumps(job(place, number))) for number in range(jobs)]


RIVALS: Final = {
    system.name: system
    for system in (
        System("celery", _start_celery, _letters("celery_app"), PYTHON),
        System("dramatiq", _start_dramatiq, _letters("dramatiq_app"), PYTHON),
        System("taskiq", _start_taskiq, _letters("taskiq_app"), PYTHON),
        System(
            "sqs-consumer",
            _start_sqs_consumer,
            _letters_sqs_consumer,
            NODE_MODULES / "sqs-consumer" if shutil.which("node") else NODE_MODULES / "no-node",
        ),
    )
}
