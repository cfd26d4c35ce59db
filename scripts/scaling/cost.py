"""What a day costs: list prices are inputs, quantities follow from the day.

The defaults are AWS's list prices for us-east-1 without tiers, free allowances, savings plans or
taxes; check them against the price list of your region before you believe a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scripts.scaling.fleet import Day, Task

SECONDS_PER_HOUR: Final = 3_600
POLLS_PER_IDLE_SECOND: Final = 1 / 20
"""A long poll of 20 s after another, for each queue."""


@dataclass(frozen=True)
class Prices:
    """USD."""

    vcpu_hour: float = 0.04048
    gib_hour: float = 0.004445
    spot_discount: float = 0.70
    sqs_million: float = 0.40
    s3_put_thousand: float = 0.005
    s3_get_thousand: float = 0.0004
    log_gb: float = 0.50
    nat_gb: float = 0.045


@dataclass(frozen=True)
class PerJob:
    """What one job uses."""

    vcpu_per_task: float = 2.0
    gib_per_task: float = 4.0
    spot_share: float = 0.75
    """Of the tasks above the first: infra's default weights, one to three."""
    sqs_requests: float = 3.0
    """Send, receive, delete: alone; a busy fleet shares receives and deletes among jobs."""
    s3_gets: float = 5.0
    """Recording, TextGrid, pitch; the stored result and the cache entry, both missing."""
    s3_puts: float = 4.0
    """Result, its undelivered mark, the delivered mark, the cache entry. 0 without a bucket."""
    log_kb: float = 1.5
    event_kb: float = 20.0
    queues: int = 1


@dataclass(frozen=True)
class Cost:
    """USD a day, by what it is for."""

    fargate: float
    sqs: float
    s3: float
    logs: float
    nat: float

    @property
    def total(self) -> float:
        """All of it, without what a VPC costs while nothing happens (infra/modules/network)."""
        return self.fargate + self.sqs + self.s3 + self.logs + self.nat


def cost_of(day: Day, task: Task, prices: Prices, per_job: PerJob) -> Cost:
    """Price a day."""
    hourly = per_job.vcpu_per_task * prices.vcpu_hour + per_job.gib_per_task * prices.gib_hour
    first = np.minimum(day.billed, 1)
    spot = (day.billed - first) * per_job.spot_share
    proper = day.billed - spot
    paid = proper.sum() + spot.sum() * (1 - prices.spot_discount)
    capacity = np.maximum(day.running * task.jobs_per_second, 1e-9)
    idle = np.clip(1 - np.minimum(day.arrivals + day.waiting, capacity) / capacity, 0, 1)
    polls = float((day.running * idle).sum()) * POLLS_PER_IDLE_SECOND * per_job.queues
    jobs = day.jobs
    return Cost(
        fargate=float(paid) / SECONDS_PER_HOUR * hourly,
        sqs=(jobs * per_job.sqs_requests + polls) / 1e6 * prices.sqs_million,
        s3=jobs
        * (per_job.s3_puts * prices.s3_put_thousand + per_job.s3_gets * prices.s3_get_thousand)
        / 1e3,
        logs=jobs * per_job.log_kb / 1e6 * prices.log_gb,
        nat=jobs * per_job.event_kb / 1e6 * prices.nat_gb,
    )
