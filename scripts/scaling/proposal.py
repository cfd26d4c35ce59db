"""The cheapest target, minimum and maximum that keep a goal on a given day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scripts.scaling.cost import Cost, PerJob, Prices, cost_of
from scripts.scaling.fleet import Day, Task, play
from scripts.scaling.policy import Policy

WAITS_S: Final = (5, 10, 20, 40)
"""Acceptable waits that are tried; the target follows from each."""

PEAK_WINDOW_S: Final = 600
PEAK_RESERVE: Final = 1.5
"""Room above the busiest ten minutes: for Spot taken away, retries, and working off a backlog."""

BUSY_TASK_JOBS_PER_SLOT: Final = 4
"""The module refuses a lower target: a busy task alone holds up to two jobs a slot."""


@dataclass(frozen=True)
class Outcome:
    """A policy, and the day that it made."""

    policy: Policy
    acceptable_wait_s: float
    day: Day
    cost: Cost
    keeps_goal: bool


def target_of(task: Task, acceptable_wait_s: float) -> float:
    """infra/modules/autoscaling's formula, with its lower limit."""
    return max(
        math.floor(task.slots * acceptable_wait_s / task.job_seconds),
        BUSY_TASK_JOBS_PER_SLOT * task.slots,
    )


def tasks_for(rate_per_s: float, task: Task) -> int:
    """Tasks that keep up with a rate."""
    return math.ceil(rate_per_s / task.jobs_per_second)


def peak_rate(arrivals: NDArray[np.int64]) -> float:
    """Jobs a second over the busiest ten minutes."""
    summed = np.cumsum(np.concatenate(([0], arrivals)))
    return float((summed[PEAK_WINDOW_S:] - summed[:-PEAK_WINDOW_S]).max()) / PEAK_WINDOW_S


def propose(
    arrivals: NDArray[np.int64],
    task: Task,
    prices: Prices,
    per_job: PerJob,
    *,
    goal_p95_s: float,
    may_sleep: bool = False,
) -> Outcome:
    """Try waits and minimums; the cheapest that keeps the goal, or else the fastest.

    Parameters
    ----------
    goal_p95_s
        95 % of the jobs are to be delivered within this many seconds.
    may_sleep
        Whether a minimum of 0 is tried.
    """
    peak = tasks_for(peak_rate(arrivals) * PEAK_RESERVE, task)
    mean = tasks_for(float(arrivals.mean()), task)
    minimums = sorted({max(1, n) for n in (1, mean // 2, mean, (mean + peak) // 2, peak)})
    if may_sleep:
        minimums = [0, *minimums]
    best: Outcome | None = None
    for min_tasks in minimums:
        for wait_s in WAITS_S:
            policy = Policy(target_of(task, wait_s), min_tasks, max(peak, min_tasks, 2))
            day = play(arrivals, task, policy)
            outcome = Outcome(
                policy,
                wait_s,
                day,
                cost_of(day, task, prices, per_job),
                day.percentile_s(95) <= goal_p95_s,
            )
            if best is None or _rank(outcome) < _rank(best):
                best = outcome
    if best is None:  # no minimum to try: there is always one
        raise AssertionError
    return best


def _rank(outcome: Outcome) -> tuple[bool, float, float]:
    p95 = outcome.day.percentile_s(95)
    p95 = math.inf if math.isnan(p95) else p95
    if outcome.keeps_goal:
        return (False, round(outcome.cost.total, 2), p95)
    return (True, p95, outcome.cost.total)
