"""The simulation keeps the laws of queues, and says what infra/ says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.scaling.arrivals import CURVES, DAY_S, SPIKE_FACTOR, SPIKE_S, draw
from scripts.scaling.cost import PerJob, Prices, cost_of
from scripts.scaling.fleet import Task, play
from scripts.scaling.policy import Policy, TargetTracking
from scripts.scaling.proposal import propose, target_of
from tests.infra.hcl import default

ROOT = Path(__file__).parents[2]
TASK = Task(slots=2, job_seconds=0.5, delivery_seconds=0.25, startup_seconds=60)
STILL = Policy(target=1e9, min_tasks=1, max_tasks=1)


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_a_day_has_about_the_jobs_that_were_asked_for(curve: str) -> None:
    jobs = draw(curve, 50_000, seed=3).sum()
    expected = 50_000 * (1 + (SPIKE_FACTOR - 1) * SPIKE_S / DAY_S if curve == "spike" else 1)
    assert jobs == pytest.approx(expected, rel=0.03)


def test_the_same_seed_draws_the_same_day() -> None:
    assert (draw("morning", 1_000, seed=1) == draw("morning", 1_000, seed=1)).all()
    assert (draw("morning", 1_000, seed=1) != draw("morning", 1_000, seed=2)).any()


def test_a_lone_job_takes_its_own_time() -> None:
    arrivals = np.zeros(600, np.int64)
    arrivals[100] = 1
    day = play(arrivals, TASK, STILL)
    assert day.percentile_s(50) == pytest.approx(0.75, abs=0.6)


def test_a_burst_waits_as_long_as_its_work_takes() -> None:
    arrivals = np.zeros(600, np.int64)
    arrivals[100] = 400  # four a second are done: the last after 100 s, the middle one after 50
    day = play(arrivals, TASK, STILL)
    assert day.latency_s[100] == pytest.approx(50 + 0.75, abs=1)
    assert day.waiting[199] == 0
    assert day.waiting[198] > 0


def test_no_job_is_lost_and_none_is_done_before_it_came() -> None:
    arrivals = draw("morning", 200_000, seed=5)
    day = play(arrivals, TASK, Policy(target=40, min_tasks=1, max_tasks=30))
    assert (day.latency_s[arrivals > 0] >= TASK.job_seconds + TASK.delivery_seconds).all()
    assert day.waiting[-1] <= day.arrivals.sum()
    assert (day.waiting >= 0).all()


def test_a_backlog_at_midnight_still_counts() -> None:
    arrivals = np.zeros(120, np.int64)
    arrivals[60] = 4_000  # 1,000 s of work, 60 of them left
    day = play(arrivals, TASK, STILL)
    assert day.latency_s[60] == pytest.approx(500, rel=0.05)


def test_scaling_out_waits_for_three_minutes_above_the_target() -> None:
    scaler = TargetTracking(Policy(target=10, min_tasks=1, max_tasks=8, metric_delay_s=0))
    wanted = [scaler.decide(60 * n, backlog=40, running=1, desired=1) for n in range(1, 4)]
    assert wanted == [1, 1, 4]


def test_scaling_in_waits_for_fifteen_quiet_minutes_and_goes_gently() -> None:
    scaler = TargetTracking(Policy(target=10, min_tasks=1, max_tasks=8, metric_delay_s=0))
    wanted = [scaler.decide(60 * n, backlog=0, running=8, desired=8) for n in range(1, 16)]
    assert wanted == [8] * 14 + [6]


def test_jobs_in_flight_keep_tasks_from_being_taken() -> None:
    scaler = TargetTracking(Policy(target=10, min_tasks=1, max_tasks=8, metric_delay_s=0))
    wanted = [scaler.decide(60 * n, backlog=72, running=8, desired=8) for n in range(1, 31)]
    assert wanted == [8] * 30


def test_the_first_job_wakes_a_sleeping_fleet() -> None:
    arrivals = np.zeros(1_200, np.int64)
    arrivals[100] = 1
    day = play(arrivals, TASK, Policy(target=40, min_tasks=0, max_tasks=4))
    assert 60 < day.percentile_s(50) < 300
    assert day.running.max() == 1


def test_a_known_rush_needs_a_higher_minimum_or_patience() -> None:
    arrivals = draw("spike", 20_000, seed=1)
    cold = play(arrivals, Task(), Policy(target=66, min_tasks=1, max_tasks=20))
    warm = play(arrivals, Task(), Policy(target=66, min_tasks=8, max_tasks=20))
    assert warm.percentile_s(99) < 10 < cold.percentile_s(99)


def test_a_task_is_paid_for_while_it_starts_and_drains() -> None:
    arrivals = draw("spike", 20_000, seed=1)
    day = play(arrivals, Task(), Policy(target=66, min_tasks=1, max_tasks=20))
    assert (day.billed >= day.running).all()
    assert day.billed.sum() > day.running.sum()


def test_the_sum_is_what_the_parts_cost() -> None:
    day = play(np.zeros(3_600, np.int64), Task(), Policy(66, 1, 1))
    prices = Prices(vcpu_hour=1.0, gib_hour=0.1, sqs_million=1.0)
    cost = cost_of(day, Task(), prices, PerJob())
    assert cost.fargate == pytest.approx(2 * 1.0 + 4 * 0.1)
    assert cost.sqs == pytest.approx(180 / 1e6)  # an idle hour: three polls a minute
    assert cost.total == pytest.approx(cost.fargate + cost.sqs)


def test_spot_is_paid_less_and_never_for_the_first_task() -> None:
    day = play(np.zeros(3_600, np.int64), Task(), Policy(66, 5, 5))
    cost = cost_of(day, Task(), Prices(vcpu_hour=1.0, gib_hour=0.0), PerJob(spot_share=0.75))
    assert cost.fargate == pytest.approx(2 * (1 + 4 * (0.25 + 0.75 * 0.3)))


def test_the_proposal_keeps_its_goal_or_says_that_it_does_not() -> None:
    kept = propose(draw("steady", 20_000, 1), Task(), Prices(), PerJob(), goal_p95_s=60)
    assert kept.keeps_goal
    assert kept.day.percentile_s(95) <= 60
    impossible = propose(draw("steady", 20_000, 1), Task(), Prices(), PerJob(), goal_p95_s=0.1)
    assert not impossible.keeps_goal


def test_the_modules_defaults_are_the_simulations() -> None:
    wait_s = default("autoscaling", "acceptable_wait_s")
    assert default("autoscaling", "slots_per_task") == Task.slots
    assert default("service", "slots_per_task") == Task.slots
    assert default("autoscaling", "job_seconds") == Task.job_seconds
    assert default("autoscaling", "scale_out_cooldown_s") == Policy.scale_out_cooldown_s
    assert default("autoscaling", "scale_in_cooldown_s") == Policy.scale_in_cooldown_s
    assert default("autoscaling", "wake_tasks") == Policy.wake_tasks
    assert target_of(Task(), wait_s) == 66


def test_the_command_plays_a_day_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "day.png"
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "scripts" / "simulate_scaling.py"), "day"),
            *("--curve", "steady", "--jobs", "2000", "--plot", str(picture)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "USD a day" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
