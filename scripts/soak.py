"""Many jobs that compute nothing through one worker, to see whether its I/O process stays flat.

    .venv/bin/python -m scripts.soak [--jobs 20000] [--server localstack]

Measures resident memory, file descriptors and threads of the I/O process after the first tenth of
the jobs and after the last, and by its own word the asyncio tasks left at the end. Exits 1 if
memory grew by more than 10 %, or anything else was left over.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from scripts import local_servers
from scripts.chaos.fleet import worker_environment
from scripts.child_process import ChildError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

GROWTH_ALLOWED: Final = 0.10
TASKS_ALLOWED: Final = 12
"""The worker's own standing tasks: the lease keeper, the watchers of its processes, its servers."""
SETTLING_SHARE: Final = 0.1
BATCH: Final = 10
POLL_S: Final = 0.5
MB: Final = 2**20
LONGEST_S: Final = 1800
SECRET: Final = "whsec_c29hayBydW5zIG9uIGxvb3BiYWNrIGFsb25l"  # noqa: S105  signs nothing real

INBOX: Final = """
import sys
from aiohttp import web

async def hook(request):
    await request.read()
    return web.Response(status=204)

app = web.Application()
app.router.add_post("/hook", hook)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


@dataclass(frozen=True)
class Sample:
    """The I/O process at one moment."""

    done: int
    resident_mb: float
    descriptors: int
    threads: int


def sample(pid: int, done: int) -> Sample:
    """Look at a process."""
    process = psutil.Process(pid)
    return Sample(done, process.memory_info().rss / MB, process.num_fds(), process.num_threads())


def soak(options: argparse.Namespace, address: str, folder: Path) -> tuple[list[Sample], int]:
    """Send the jobs, run the worker, and sample it; also the tasks that it had at the end."""
    sqs: SQSClient = boto3.client(
        "sqs",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106  the server asks for some key
    )
    dead = sqs.create_queue(QueueName="soak-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 6})
    queue = sqs.create_queue(QueueName="soak", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    inbox_port = _free_port()
    inbox = subprocess.Popen([sys.executable, "-c", INBOX, str(inbox_port)])
    environment = worker_environment(
        sqs=address,
        s3=address,
        queue_url=queue,
        secret=SECRET,
        settings={
            "WORKER_HANDLERS": "scripts.noop_jobs",
            "WORKER_CONCURRENCY": "1",
            "WORKER_WAIT_TIME_S": "1",
            "WORKER_CHILD_MAX_JOBS": "1000000",
        },
    )
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        samples = _watch(options.jobs, sqs, queue, f"http://127.0.0.1:{inbox_port}/hook", worker)
    finally:
        worker.terminate()
        code = worker.wait(60)
        inbox.terminate()
        inbox.wait()
    said = (folder / "worker.log").read_text()
    if code != 0:
        raise RuntimeError(f"the worker ended with {code}: {said[-2000:]}")
    return samples, _tasks_at_the_end(said)


def _tasks_at_the_end(log: str) -> int:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return next(int(line["tasks"]) for line in reversed(lines) if line["event"] == "stopped")


def _watch(
    count: int, sqs: SQSClient, queue: str, webhook: str, worker: subprocess.Popen[bytes]
) -> list[Sample]:
    samples: list[Sample] = []
    sent = 0
    give_up_at = time.monotonic() + LONGEST_S
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        bar = progress.add_task("jobs done", total=count)
        while time.monotonic() < give_up_at:
            left = _depth(sqs, queue)
            done = sent - left
            progress.update(bar, completed=done)
            if worker.poll() is not None:
                raise RuntimeError(f"the worker ended with {worker.returncode}")
            if done >= count * SETTLING_SHARE:
                samples.append(sample(worker.pid, done))
            if done >= count:
                return samples
            # A standing backlog of two batches' worth of polls, and no more, so that the
            # server's memory is not what is measured.
            while sent < count and sent - done < 1000:
                _send(sqs, queue, webhook, range(sent, min(sent + BATCH, count)))
                sent = min(sent + BATCH, count)
            time.sleep(POLL_S)
    raise TimeoutError(f"{count - done} jobs were not done in {LONGEST_S} s")


def _send(sqs: SQSClient, queue: str, webhook: str, numbers: range) -> None:
    entries: list[Any] = [
        {
            "Id": str(number),
            "MessageBody": json.dumps(
                {
                    "job_id": f"soak-{number}",
                    "s3_audio_url": "s3://none/none",
                    "webhook_url": webhook,
                }
            ),
            "MessageAttributes": {"job_type": {"DataType": "String", "StringValue": "noop"}},
        }
        for number in numbers
    ]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)


def _depth(sqs: SQSClient, queue: str) -> int:
    reply = sqs.get_queue_attributes(
        QueueUrl=queue,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(int(value) for value in reply["Attributes"].values())


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def report(samples: list[Sample], tasks: int, took_s: float, console: Console) -> bool:
    """Print the first and the last sample; whether nothing grew."""
    first, last = samples[0], samples[-1]
    growth = last.resident_mb / first.resident_mb - 1
    table = Table(title=f"{last.done:,} jobs in {took_s:.0f} s")
    for column in ("I/O process", f"after {first.done:,}", f"after {last.done:,}", "bound"):
        table.add_column(column)
    rows = (
        ("resident, MB", f"{first.resident_mb:.1f}", f"{last.resident_mb:.1f}", "+10 %"),
        ("file descriptors", first.descriptors, last.descriptors, "+4"),
        ("threads", first.threads, last.threads, "+0"),
        ("asyncio tasks at the end", "", tasks, f"{TASKS_ALLOWED}"),
    )
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
    return (
        growth <= GROWTH_ALLOWED
        and last.descriptors <= first.descriptors + 4
        and last.threads <= first.threads
        and tasks <= TASKS_ALLOWED
    )


def main() -> int:
    """Soak and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--server", choices=sorted(local_servers.SERVERS), default="localstack")
    options = parser.parse_args()
    console = Console()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            with local_servers.running(options.server, folder) as address:
                samples, tasks = soak(options, address, folder)
        except ChildError as error:
            console.print(str(error), style="red", markup=False)
            return 1
    return 0 if report(samples, tasks, time.monotonic() - began, console) else 1


if __name__ == "__main__":
    sys.exit(main())
