"""The fleet as one sees it from outside: what its queues hold, and what its workers count.

Depths come from SQS, the age of the oldest message from CloudWatch (SQS itself does not tell it,
and to receive a message only to look costs the job one of its attempts), the rest from the
workers' own `/metrics`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from worker.aws import config, region
from worker.metrics import PREFIX, queue_name
from worker.redrive_policy import ATTRIBUTE, RedrivePolicy

if TYPE_CHECKING:
    import httpx
    from types_aiobotocore_sqs import SQSClient

    from worker.aws import AwsClients
    from worker.metrics import Metrics

AGE_WINDOW_S: Final = 900
"""CloudWatch's numbers of SQS come once a minute, some minutes late."""

AGE_PERIOD_S: Final = 60
DEPTH_INTERVAL_S: Final = 300.0
"""How often a worker asks for queue depths where METRICS_QUEUE_DEPTH is set."""

_DEPTHS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True)
class Depth:
    """How many messages a queue holds, in each state; approximate, as SQS counts."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """In whatever state."""
        return self.visible + self.in_flight + self.delayed


@dataclass(frozen=True)
class QueueReading:
    """A main queue and its dead-letter queue at one moment."""

    name: str
    url: str
    depth: Depth
    oldest_s: float | None = None
    """Age of the oldest message; None if nobody knows. An empty queue's is 0."""
    max_receive_count: int | None = None
    dead_name: str | None = None
    dead_depth: Depth | None = None


async def read_depth(sqs: SQSClient, url: str) -> tuple[Depth, Mapping[str, str]]:
    """Ask SQS for a queue's depths; the whole answer comes second."""
    reply = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[*_DEPTHS, ATTRIBUTE])
    attributes: Mapping[str, str] = {
        str(name): value for name, value in reply.get("Attributes", {}).items()
    }
    return Depth(*(int(attributes.get(name, 0)) for name in _DEPTHS)), attributes


async def read_queue(sqs: SQSClient, url: str, oldest_s: float | None = None) -> QueueReading:
    """Read a queue and the dead-letter queue that its RedrivePolicy names."""
    depth, attributes = await read_depth(sqs, url)
    policy = RedrivePolicy.of(attributes)
    dead_depth = None
    if policy is not None:
        dead_depth, _ = await read_depth(sqs, await policy.dead_letter_url(sqs))
    return QueueReading(
        name=queue_name(url),
        url=url,
        depth=depth,
        oldest_s=0.0 if depth.total == 0 else oldest_s,
        max_receive_count=policy.max_receive_count if policy else None,
        dead_name=policy.dead_letter_queue if policy else None,
        dead_depth=dead_depth,
    )


async def oldest_ages_s(clients: AwsClients, urls: Sequence[str]) -> dict[str, float | None]:
    """The age of each queue's oldest message as CloudWatch last had it; None if it does not say."""
    ages: dict[str, float | None] = dict.fromkeys(urls)
    now = datetime.now(UTC)
    async with clients.session.create_client(
        "cloudwatch",
        region_name=region(),
        config=config(read_timeout_s=10, max_connections=4, attempts=2),
    ) as cloudwatch:
        client: Any = cloudwatch
        for url in urls:
            try:
                reply = await client.get_metric_statistics(
                    Namespace="AWS/SQS",
                    MetricName="ApproximateAgeOfOldestMessage",
                    Dimensions=[{"Name": "QueueName", "Value": queue_name(url)}],
                    StartTime=now - timedelta(seconds=AGE_WINDOW_S),
                    EndTime=now + timedelta(seconds=AGE_PERIOD_S),
                    Period=AGE_PERIOD_S,
                    Statistics=["Maximum"],
                )
            except (ClientError, BotoCoreError):
                continue
            points = sorted(reply.get("Datapoints", []), key=lambda point: point["Timestamp"])
            if points:
                ages[url] = float(points[-1]["Maximum"])
    return ages


async def peek_oldest_s(sqs: SQSClient, url: str) -> float | None:
    """The age of the oldest of up to ten messages; each of them has lost one of its tries."""
    reply = await sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=0,
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    sent_ms = [int(raw["Attributes"]["SentTimestamp"]) for raw in reply.get("Messages", [])]
    return max(0.0, datetime.now(UTC).timestamp() - min(sent_ms) / 1000) if sent_ms else None


async def report_depths(
    sqs: SQSClient, urls: Sequence[str], metrics: Metrics, interval_s: float = DEPTH_INTERVAL_S
) -> None:
    """Export queue depths, for ever: one call for each queue in each interval."""
    while True:
        for url in urls:
            try:
                depth, _ = await read_depth(sqs, url)
            except (ClientError, BotoCoreError, OSError, TimeoutError):
                metrics.sqs_call("GetQueueAttributes", False)
                continue
            metrics.sqs_call("GetQueueAttributes", True)
            metrics.queue_depth(
                url, visible=depth.visible, in_flight=depth.in_flight, delayed=depth.delayed
            )
        await asyncio.sleep(interval_s)


# --- workers


Samples = dict[str, float]
Labelled = dict[tuple[tuple[str, str], ...], float]


@dataclass(frozen=True)
class WorkerReading:
    """What one worker's `/metrics` says, or why it says nothing."""

    address: str
    error: str | None = None
    version: str = ""
    families: Mapping[str, Labelled] = field(default_factory=dict, repr=False)

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        wanted = set(labels.items())
        samples = self.families.get(f"{PREFIX}_{name}", {})
        return sum(value for labelled, value in samples.items() if wanted <= set(labelled))

    def by(self, name: str, label: str) -> Samples:
        """A metric's samples added up by one label."""
        found: Samples = {}
        for labelled, value in self.families.get(f"{PREFIX}_{name}", {}).items():
            key = dict(labelled).get(label, "")
            found[key] = found.get(key, 0.0) + value
        return found

    def buckets(self, stage: str) -> dict[float, float]:
        """The cumulative histogram of a stage's durations: upper bound (s) to count."""
        found: dict[float, float] = {}
        samples = self.families.get(f"{PREFIX}_job_stage_duration_seconds_bucket", {})
        for labelled, value in samples.items():
            labels = dict(labelled)
            if labels.get("stage") == stage:
                found[float(labels["le"])] = value
        return found

    @property
    def resident_mb(self) -> float:
        """Resident memory of the I/O process, MB."""
        return sum(self.families.get("process_resident_memory_bytes", {}).values()) / 2**20


async def scrape(http: httpx.AsyncClient, address: str) -> WorkerReading:
    """Read one worker; never raises, for a worker that does not answer is news of its own."""
    from httpx import HTTPError, InvalidURL
    from prometheus_client.parser import text_string_to_metric_families

    try:
        answer = await http.get(address.rstrip("/") + "/metrics")
        answer.raise_for_status()
        families: dict[str, Labelled] = {}
        version = ""
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                families.setdefault(sample.name, {})[labels] = sample.value
                if sample.name == f"{PREFIX}_build_info":
                    version = sample.labels.get("version", "")
    except (HTTPError, InvalidURL, ValueError) as error:
        return WorkerReading(address, error=type(error).__name__)
    return WorkerReading(address, version=version, families=families)


def difference(before: Mapping[float, float], after: Mapping[float, float]) -> dict[float, float]:
    """What came into a cumulative histogram between two readings; after a restart, all of it."""
    gained = {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
    return dict(after) if any(count < 0 for count in gained.values()) else gained


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value below which a share (0–1) of a cumulative histogram lies, in its own unit.

    Linear within a bucket, as Prometheus's histogram_quantile has it; None with no values.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    lower_bound, lower_count = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound):
                return lower_bound
            inside = count - lower_count
            part = (rank - lower_count) / inside if inside else 1.0
            return lower_bound + (bound - lower_bound) * part
        lower_bound, lower_count = bound, count
    return lower_bound
