"""What the fleet is scaled and woken by, as rendered, where numbers come late."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scripts.check_infra import Terraform
from scripts.scaling.fleet import Task
from scripts.scaling.policy import HIGH_PERIODS, LOW_PERIODS, LOW_SHARE, Policy
from scripts.scaling.proposal import target_of
from tests.infra.conftest import rendered
from tests.infra.hcl import INFRA, default, files
from tests.infra.metric_math import Series, evaluate

TARGET = target_of(Task(), default("autoscaling", "acceptable_wait_s"))
LOWEST_TARGET = 4 * Task.slots
"""The module refuses a lower one."""

HOUR = 60


def until_lately(value: float) -> Series:
    """Ten minutes of it, of which the newest two have no number yet."""
    return [*[value] * 8, None, None]


@pytest.fixture(scope="module")
def scaling(terraform: Terraform) -> dict[str, Any]:
    return rendered(terraform, "autoscaling", "a_fleet_that_sleeps_wakes_at_the_first_message")


@pytest.fixture(scope="module")
def watching(terraform: Terraform) -> dict[str, Any]:
    return rendered(terraform, "observability", "every_alarm_is_wired_to_the_topic")


def tracked(scaling: dict[str, Any]) -> str:
    """The expression that target tracking keeps at its target."""
    policy = scaling["aws_appautoscaling_policy.backlog"]
    (configuration,) = policy["target_tracking_scaling_policy_configuration"]
    (specification,) = configuration["customized_metric_specification"]
    return _returned(specification["metrics"])


def _returned(queries: list[dict[str, Any]]) -> str:
    (expression,) = [query["expression"] for query in queries if query["return_data"]]
    assert isinstance(expression, str)
    return expression


def of_two_queues(waiting: Series, in_flight: Series, running: Series) -> dict[str, Series]:
    """The numbers of a fleet whose first queue is empty."""
    silent = [None] * len(running)
    return {
        "waiting0": silent,
        "inflight0": silent,
        "waiting1": waiting,
        "inflight1": in_flight,
        "running": running,
    }


def in_alarm(alarm: dict[str, Any], metrics: dict[str, Series]) -> bool:
    """Whether M of the newest N values are in breach."""
    values = evaluate(_returned(alarm["metric_query"]), metrics)[-alarm["evaluation_periods"] :]
    least = alarm["threshold"] + (alarm["comparison_operator"] == "GreaterThanThreshold") * 1e-9
    breaching = sum(value is not None and value >= least for value in values)
    return bool(breaching >= (alarm.get("datapoints_to_alarm") or alarm["evaluation_periods"]))


def test_a_backlog_is_seen_though_the_newest_numbers_are_late(scaling: dict[str, Any]) -> None:
    backlog = of_two_queues(until_lately(5 * TARGET), until_lately(4), until_lately(1))
    values = evaluate(tracked(scaling), backlog)
    assert all(value is not None and value > TARGET for value in values[-HIGH_PERIODS:])


def test_late_task_numbers_are_no_empty_fleet(scaling: dict[str, Any]) -> None:
    numbers = of_two_queues([40] * 10, [40] * 10, until_lately(10))
    assert evaluate(tracked(scaling), numbers) == [8.0] * 10


def test_queues_that_are_silent_are_empty(scaling: dict[str, Any]) -> None:
    silent = [None] * 20
    assert evaluate(tracked(scaling), of_two_queues(silent, silent, [3] * 20)) == [0.0] * 20


def test_jobs_that_back_off_do_not_grow_the_fleet(scaling: dict[str, Any]) -> None:
    for running in range(1, 21):
        down = of_two_queues([0] * HOUR, [20_000] * HOUR, [running] * HOUR)
        assert max(value or 0 for value in evaluate(tracked(scaling), down)) <= LOWEST_TARGET


def test_jobs_that_back_off_do_not_hold_the_fleet_at_its_size(scaling: dict[str, Any]) -> None:
    down = of_two_queues([0] * HOUR, [20_000] * HOUR, [20] * HOUR)
    values = evaluate(tracked(scaling), down)[-LOW_PERIODS:]
    assert all(value is not None and value < LOW_SHARE * LOWEST_TARGET for value in values)


def test_more_tasks_never_make_the_measure_larger(scaling: dict[str, Any]) -> None:
    tasks = list(range(1, 41))
    numbers = of_two_queues([900] * 40, [500] * 40, tasks)
    values = [value or 0 for value in evaluate(tracked(scaling), numbers)]
    assert values == sorted(values, reverse=True)


def test_what_a_busy_fleet_has_in_hand_counts_as_in_the_simulation(scaling: dict[str, Any]) -> None:
    """The simulation has no back-off, and counts the jobs that its slots compute."""
    for running in (1, 7, 20):
        for in_hand in (0, running * Task.slots):
            numbers = of_two_queues([running * 50], [in_hand], [running])
            (value,) = evaluate(tracked(scaling), numbers)
            assert value == pytest.approx((running * 50 + in_hand) / running)


def test_a_late_number_of_tasks_wakes_nobody(scaling: dict[str, Any]) -> None:
    wake = scaling["aws_cloudwatch_metric_alarm.wake[0]"]
    assert not in_alarm(wake, of_two_queues([30] * 10, [4] * 10, until_lately(2)))


def test_the_first_message_wakes_a_sleeping_fleet(scaling: dict[str, Any]) -> None:
    wake = scaling["aws_cloudwatch_metric_alarm.wake[0]"]
    never_ran = [None] * 10
    for running in (until_lately(0), never_ran):
        assert in_alarm(wake, of_two_queues([*[0] * 8, 1, None], [*[0] * 9, None], running))
    assert not in_alarm(wake, of_two_queues([*[0] * 9, None], [*[0] * 9, None], until_lately(0)))


def test_what_backs_off_wakes_a_sleeping_fleet_when_it_is_visible(scaling: dict[str, Any]) -> None:
    wake = scaling["aws_cloudwatch_metric_alarm.wake[0]"]
    assert not in_alarm(wake, of_two_queues([0] * 10, [50] * 10, [0] * 10))
    assert in_alarm(wake, of_two_queues([0] * 8 + [50] * 2, [50] * 8 + [0] * 2, [0] * 10))


def test_absent_tasks_are_told_of_though_numbers_are_late(watching: dict[str, Any]) -> None:
    alarm = watching["aws_cloudwatch_metric_alarm.no_running_task"]
    for running in (until_lately(0), [None] * 10):
        assert in_alarm(alarm, of_two_queues(until_lately(9), [0] * 10, running))
    assert not in_alarm(alarm, of_two_queues(until_lately(9), [0] * 10, until_lately(1)))


def test_the_module_waits_for_a_woken_task_as_long_as_the_simulation(
    scaling: dict[str, Any],
) -> None:
    (step,) = scaling["aws_appautoscaling_policy.wake[0]"]["step_scaling_policy_configuration"]
    assert step["cooldown"] == Policy.wake_cooldown_s


@pytest.mark.parametrize("path", files(".tf"), ids=lambda path: path.relative_to(INFRA).as_posix())
def test_no_metric_of_a_service_is_filled_with_zero_while_it_is_late(path: Path) -> None:
    filled = re.findall(r"FILL\((?:\$\{)?[\w.]+\}?, 0\)", path.read_text(encoding="utf-8"))
    assert filled == []
