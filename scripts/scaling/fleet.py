"""A day of a fleet, second by second: backlog, tasks, and how long each job took.

The queue is first in, first out, and work is a fluid: a running task finishes `slots /
job_seconds` jobs a second while there are any. How long a job waited follows from the cumulative
curves of arrivals and completions; a job's own time and the delivery are added to it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.scaling.policy import PERIOD_S, Policy, TargetTracking


@dataclass(frozen=True)
class Task:
    """One task, and what a job costs it."""

    slots: int = 2
    job_seconds: float = 0.6
    """That a job keeps its slot."""
    delivery_seconds: float = 0.3
    """From scored to accepted by the webhook; keeps no slot."""
    startup_seconds: int = 75
    """From the decision until it takes jobs: placement, image pull, models, warm-up. Billed."""
    drain_seconds: int = 25
    """From SIGTERM until it is gone: a long poll's end, then the jobs in hand. Billed."""

    @property
    def jobs_per_second(self) -> float:
        """What a busy task finishes."""
        return self.slots / self.job_seconds


@dataclass(frozen=True)
class Day:
    """What happened, a number for each second."""

    arrivals: NDArray[np.int64]
    waiting: NDArray[np.float64]
    running: NDArray[np.int64]
    billed: NDArray[np.int64]
    """Tasks that start, run or drain."""
    latency_s: NDArray[np.float64]
    """Of the jobs that arrived in a second, mean, from sent to delivered; NaN where none came."""

    @property
    def jobs(self) -> int:
        """Jobs that arrived."""
        return int(self.arrivals.sum())

    def percentile_s(self, percent: float) -> float:
        """Latency that so many percent of the jobs stay under; NaN without jobs."""
        weights = self.arrivals
        if not weights.sum():
            return math.nan
        order = np.argsort(self.latency_s, kind="stable")
        order = order[weights[order] > 0]
        reached = np.cumsum(weights[order]) / weights.sum()
        return float(self.latency_s[order][np.searchsorted(reached, percent / 100)])


def play(arrivals: NDArray[np.int64], task: Task, policy: Policy) -> Day:
    """Play a day; what is left at its end is worked off by the tasks that run then."""
    seconds = len(arrivals)
    waiting = np.zeros(seconds)
    running_at = np.zeros(seconds, np.int64)
    billed_at = np.zeros(seconds, np.int64)
    done = np.zeros(seconds)

    scaler = TargetTracking(policy)
    running = desired = policy.min_tasks
    starting: deque[tuple[int, int]] = deque()  # (second that they are ready, how many)
    draining: deque[tuple[int, int]] = deque()
    backlog = 0.0
    for now in range(seconds):
        while starting and starting[0][0] <= now:
            running += starting.popleft()[1]
        while draining and draining[0][0] <= now:
            draining.popleft()
        backlog += arrivals[now]
        finished = min(backlog, running * task.jobs_per_second)
        backlog -= finished
        done[now] = finished
        waiting[now] = backlog
        running_at[now] = running
        billed_at[now] = running + sum(n for _, n in starting) + sum(n for _, n in draining)

        if (now + 1) % PERIOD_S == 0:
            in_hand = min(finished * task.job_seconds, running * task.slots)
            wanted = scaler.decide(now + 1, backlog + in_hand, running, desired)
            if wanted > desired:
                starting.append((now + task.startup_seconds, wanted - desired))
            elif wanted < desired:
                leaving = min(desired - wanted, running)
                running -= leaving
                draining.append((now + task.drain_seconds, leaving))
            desired = wanted

    latency = _latency(arrivals, done, backlog, running, task)
    return Day(arrivals, waiting, running_at, billed_at, latency)


def _latency(
    arrivals: NDArray[np.int64], done: NDArray[np.float64], left: float, running: int, task: Task
) -> NDArray[np.float64]:
    """Seconds from sent to delivered of the jobs of each second."""
    seconds = len(arrivals)
    arrived = np.cumsum(arrivals)
    finished = np.cumsum(done)
    times = np.arange(1.0, seconds + 1)
    if left > 0:  # the day's rest, worked off after midnight
        rate = max(running, 1) * task.jobs_per_second
        times = np.append(times, seconds + left / rate)
        finished = np.append(finished, finished[-1] + left)
    # The job in the middle of its second's; a count between two of `finished` was reached within
    # the second in which completions went on, not while they stood still before.
    middle_job = arrived - 0.5 * arrivals
    finished_at = np.interp(middle_job, finished, times)
    wait = np.maximum(0.0, finished_at - times[:seconds])
    own = task.job_seconds + task.delivery_seconds
    return np.where(arrivals > 0, wait + own, np.nan)
