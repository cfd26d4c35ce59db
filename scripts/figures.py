"""Measures the figures that the README quotes: start, cost of an analysis, memory.

    .venv/bin/python scripts/figures.py [--runs N] [--json]

Runs on the committed recordings and on moto, on this machine alone. Prints the median and the
range of each figure beside its bound; exits 1 if a median misses it.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import boto3
import psutil
from moto.server import ThreadedMotoServer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from worker.pool import limit_threads

ROOT: Final = Path(__file__).resolve().parent.parent
LINES: Final = ("lantern", "harbor", "stranger", "winter")
START_TIMEOUT_S: Final = 120
MB: Final = 2**20

CPU_BOUND: Final = 0.08
CHILD_MB_BOUND: Final = 350
START_BOUND_S: Final = 3.0
IO_MB_BOUND: Final = 120


@dataclass(frozen=True)
class Figure:
    """One measured figure over several runs."""

    name: str
    unit: str
    bound: float
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What is quoted."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the median is below the bound."""
        return self.median < self.bound


def measure_analysis(runs: int, answer: multiprocessing.Queue[tuple[list[float], float]]) -> None:
    """CPU seconds per second of audio, bytes to result, and resident MB of this process."""
    import analysis
    from analysis.scoring import warm_up

    warm_up()
    folder = ROOT / "tests" / "fixtures"
    costs = []
    for _ in range(runs):
        for line in LINES:
            audio = (folder / line / "good.flac").read_bytes()
            textgrid = (folder / line / "actor.TextGrid").read_bytes()
            pitch = (folder / line / "pitch.json").read_bytes()
            began = time.process_time()
            recording = analysis.Recording.from_bytes(audio)
            reference = analysis.Reference.from_textgrid(textgrid, pitch=pitch)
            analysis.score(recording, reference).model_dump_json()
            costs.append((time.process_time() - began) / recording.duration)
    answer.put((costs, psutil.Process().memory_info().rss / MB))


@contextmanager
def local_queue() -> Iterator[tuple[str, dict[str, str]]]:
    """A moto server with a queue; its URL and the environment to reach it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        sqs = boto3.client(
            "sqs",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106  moto asks for some key
        )
        dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
        policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 6}
        queue = sqs.create_queue(
            QueueName="jobs", Attributes={"RedrivePolicy": json.dumps(policy)}
        )["QueueUrl"]
        yield queue, environment
    finally:
        server.stop()


def measure_start(queue: str, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from `python -m worker run` to ready, when the first receive is sent; I/O MB."""
    command = [sys.executable, "-m", "worker", "run"]
    settings = {
        "WORKER_QUEUE_URL": queue,
        "WORKER_HEALTH_PORT": "0",
        "WORKER_WAIT_TIME_S": "1",
        "WORKER_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    began = time.monotonic()
    worker = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in worker.stdout or ():
            if re.search(r'"event":\s*"ready"', line):
                break
            if time.monotonic() - began > START_TIMEOUT_S:
                raise TimeoutError("the worker did not become ready")
        took = time.monotonic() - began
        return took, psutil.Process(worker.pid).memory_info().rss / MB
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)


def measure(runs: int) -> list[Figure]:
    """Measure everything."""
    limit_threads()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    context = multiprocessing.get_context("spawn")
    costs: list[float] = []
    child_mb: list[float] = []
    starts: list[float] = []
    io_mb: list[float] = []
    with local_queue() as (queue, environment):
        for _ in track(range(runs), description="measuring", console=Console(stderr=True)):
            answer: multiprocessing.Queue[tuple[list[float], float]] = context.Queue()
            process = context.Process(target=measure_analysis, args=(3, answer))
            process.start()
            some, mb = answer.get()
            process.join()
            costs += some
            child_mb.append(mb)
            start_s, mb = measure_start(queue, environment)
            starts.append(start_s)
            io_mb.append(mb)
    return [
        Figure("analysis, decode to result", "CPU s per s of audio", CPU_BOUND, tuple(costs)),
        Figure("analysis process, resident", "MB", CHILD_MB_BOUND, tuple(child_mb)),
        Figure("`run` to the first receive", "s", START_BOUND_S, tuple(starts)),
        Figure("I/O process, resident", "MB", IO_MB_BOUND, tuple(io_mb)),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.runs)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    if options.json:
        print(json.dumps({"machine": machine, "figures": [asdict(f) for f in figures]}))
    else:
        table = Table(title=f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {options.runs} runs")
        for column in ("figure", "median", "range", "bound", "unit"):
            table.add_column(column)
        for figure in figures:
            colour = "green" if figure.is_met else "red"
            table.add_row(
                figure.name,
                f"[{colour}]{figure.median:.3g}",
                f"{min(figure.values):.3g} – {max(figure.values):.3g}",
                f"< {figure.bound:g}",
                figure.unit,
            )
        Console().print(table)
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
