"""Runs jobs through a small fleet while everything around it fails, and counts.

    python -m scripts.chaos [--jobs 500] [--workers 3] [--seconds 240] [--seed 1]

Exits 1 if a job is missing, a signature was wrong, two deliveries of one event differ in their
webhook-id, something is left in flight, or a process outlives the run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts import local_servers
from scripts.chaos import jobs
from scripts.chaos.consumer import Consumer, Moods
from scripts.chaos.fleet import Fleet, worker_environment
from scripts.chaos.ledger import Ledger, settle
from scripts.chaos.proxy import FaultyProxy
from scripts.child_process import ChildError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_RECEIVES: Final = 8
CHECK_S: Final = 0.25
FAULT_EVERY_S: Final = (0.8, 2.0)
CUT_S: Final = 1.5
DELAY_S: Final = 0.3
DELAYED_FOR_S: Final = 3.0
CALM_SHARE: Final = 0.85
"""Faults end when this share of the jobs is done, so that the rest can settle."""
QUIET_CHECKS: Final = 8

SETTINGS: Final = {
    "WORKER_CONCURRENCY": "1",
    "WORKER_RESULTS_BUCKET": jobs.RESULTS_BUCKET,
    "WORKER_RESULT_CACHE": "false",  # every job is to be computed
    "WORKER_VISIBILITY_TIMEOUT_S": "8",
    "WORKER_WAIT_TIME_S": "2",
    "WORKER_RETRY_DELAY_S": "1",
    "WORKER_RETRY_MAX_DELAY_S": "4",
    "WORKER_JOB_TIMEOUT_S": "60",
    "WORKER_SHUTDOWN_GRACE_S": "10",
    "WORKER_WEBHOOK_TIMEOUT_S": "3",
}


async def run(options: argparse.Namespace, folder: Path, address: str) -> tuple[Ledger, Run]:
    """Send the jobs, make the faults, wait for quiet, and count."""
    draw = random.Random(options.seed)
    secret = "whsec_" + base64.b64encode(draw.randbytes(24)).decode()
    client = {
        "endpoint_url": address,
        "region_name": "us-east-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "config": Config(s3={"addressing_style": "path"}),
    }
    sqs: SQSClient = boto3.client("sqs", **client)  # type: ignore[call-overload]
    s3 = boto3.client("s3", **client)  # type: ignore[call-overload]
    queue_url, dead_url = _queues(sqs)
    jobs.upload(s3)
    proxies = [FaultyProxy("SQS", address), FaultyProxy("S3", address)]
    sqs_proxy, s3_proxy = [await proxy.start() for proxy in proxies]
    consumer = Consumer(secret, random.Random(options.seed + 1))
    inbox_proxy = FaultyProxy("inbox", await consumer.start())
    webhook = await inbox_proxy.start()
    messages = list(jobs.bodies(options.jobs, webhook, draw))
    await asyncio.to_thread(jobs.send, sqs, queue_url, messages)
    fleet = Fleet(
        options.workers,
        worker_environment(
            sqs=sqs_proxy, s3=s3_proxy, queue_url=queue_url, secret=secret, settings=SETTINGS
        ),
        folder,
    )
    this = Run(
        sqs,
        queue_url=queue_url,
        dead_url=dead_url,
        consumer=consumer,
        fleet=fleet,
        proxies=[*proxies, inbox_proxy],
        draw=draw,
    )
    try:
        await this.play(len(messages), options.seconds)
    finally:
        await asyncio.to_thread(fleet.close)
    this.left_in_flight = await asyncio.to_thread(this.depth, queue_url)
    ledger = settle((job for job, _ in messages), consumer.taken, this.dead_letters())
    for proxy in this.proxies:
        await proxy.stop()
    await consumer.stop()
    return ledger, this


class Run:
    """The faults of one run, and its state."""

    def __init__(
        self,
        sqs: SQSClient,
        *,
        queue_url: str,
        dead_url: str,
        consumer: Consumer,
        fleet: Fleet,
        proxies: list[FaultyProxy],
        draw: random.Random,
    ) -> None:
        self.proxies = proxies
        self.fleet = fleet
        self.faults: Counter[str] = Counter()
        self.left_in_flight = 0
        self.took_s = 0.0
        self._sqs = sqs
        self._queue_url = queue_url
        self._dead_url = dead_url
        self._consumer = consumer
        self._draw = draw
        self._tasks: set[asyncio.Task[None]] = set()

    async def play(self, count: int, seconds: float) -> None:
        """Make faults until most is done or the time is short, then wait for quiet."""
        began = time.monotonic()
        next_fault = began + FAULT_EVERY_S[1]
        quiet = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
            bar = progress.add_task("jobs settled, under faults", total=count)
            while quiet < QUIET_CHECKS and time.monotonic() - began < seconds:
                now = time.monotonic()
                left = await asyncio.to_thread(self.depth, self._queue_url)
                progress.update(bar, completed=count - left)
                self.fleet.keep_up()
                is_calm = left < count * (1 - CALM_SHARE) or now - began > seconds * CALM_SHARE
                if is_calm and self._consumer.moods != Moods(0, 0, 0, 0):
                    self._consumer.moods = Moods(0, 0, 0, 0)
                    progress.update(bar, description="jobs settled, in calm")
                if now > next_fault and not is_calm:
                    self._make_a_fault()
                    next_fault = now + self._draw.uniform(*FAULT_EVERY_S)
                quiet = quiet + 1 if left == 0 else 0
                await asyncio.sleep(CHECK_S)
        self.took_s = time.monotonic() - began

    def _make_a_fault(self) -> None:
        kinds = {
            "worker killed (-9)": lambda: self.fleet.kill_worker(self._draw),
            "analysis process killed (-9)": lambda: self.fleet.kill_child(self._draw),
            "worker stopped (SIGTERM)": lambda: self.fleet.stop_worker(self._draw),
            "connections cut": lambda: self._for_a_while(self._proxy().cut, CUT_S),
            "connections reset": lambda: self._proxy().reset_all(),
            "connections delayed": lambda: self._for_a_while(self._slow_down, DELAYED_FOR_S),
        }
        # Killing a worker costs seconds of start; the others are cheap and come twice as often.
        weights = (1, 2, 1, 2, 2, 2)
        name = self._draw.choices(list(kinds), weights)[0]
        self.faults[name] += 1
        kinds[name]()

    def _proxy(self) -> FaultyProxy:
        return self._draw.choice(self.proxies)

    def _slow_down(self) -> None:
        self._proxy().delay_s = DELAY_S

    def _for_a_while(self, begin: Any, seconds: float) -> None:
        async def mend() -> None:
            await asyncio.sleep(seconds)
            for proxy in self.proxies:
                proxy.mend()

        begin()
        task = asyncio.create_task(mend())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def depth(self, url: str) -> int:
        """Messages of a queue, in whatever state."""
        reply = self._sqs.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )
        return sum(int(value) for value in reply["Attributes"].values())

    def dead_letters(self) -> list[dict[str, Any]]:
        """Read the dead-letter queue to its end."""
        letters: list[dict[str, Any]] = []
        while True:
            reply: Any = self._sqs.receive_message(
                QueueUrl=self._dead_url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=600,
                MessageAttributeNames=["All"],
            )
            if not reply.get("Messages"):
                return letters
            letters += reply["Messages"]


def _queues(sqs: SQSClient) -> tuple[str, str]:
    dead_url = sqs.create_queue(QueueName="chaos-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": MAX_RECEIVES})
    queue = sqs.create_queue(QueueName="chaos-jobs", Attributes={"RedrivePolicy": policy})
    return queue["QueueUrl"], dead_url


def report(ledger: Ledger, this: Run, console: Console) -> bool:
    """Print the count; whether nothing was lost."""
    orphans = this.fleet.orphans()
    table = Table(title="what became of the jobs", show_header=False)
    rows: list[tuple[str, object, bool]] = [
        ("sent", len(ledger.sent), True),
        ("delivered", len(ledger.delivered), True),
        ("dead-lettered", len(ledger.dead), True),
        ("missing", len(ledger.missing), not ledger.missing),
        ("deliveries repeated", ledger.duplicates, True),
        ("repeats with another webhook-id", len(ledger.unequal_ids), not ledger.unequal_ids),
        ("wrong signatures", ledger.forged, ledger.forged == 0),
        ("left in flight", this.left_in_flight, this.left_in_flight == 0),
        ("processes left", len(orphans), not orphans),
        ("drains with an exit code not 0", len(this.fleet.bad_exits), not this.fleet.bad_exits),
        ("seconds", round(this.took_s), True),
    ]
    for name, value, is_fine in rows:
        table.add_row(name, f"[{'green' if is_fine else 'bold red'}]{value}")
    console.print(table)
    console.print("faults:", dict(this.faults))
    console.print("dead letters by code:", dict(ledger.codes()))
    for job in sorted(ledger.missing)[:10]:
        console.print(f"[red]missing: {job}")
    return all(is_fine for _, _, is_fine in rows)


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=240, help="the longest it may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=sorted(local_servers.SERVERS), default="localstack")
    parser.add_argument("--keep-logs", type=Path, help="a folder for the workers' logs")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep_logs or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with local_servers.running(options.server, Path(scratch)) as address:
                ledger, this = asyncio.run(run(options, folder, address))
        except ChildError as error:
            console.print(str(error), style="red", markup=False)
            return 1
        return 0 if report(ledger, this, console) else 1


if __name__ == "__main__":
    sys.exit(main())
