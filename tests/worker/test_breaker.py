"""When a consumer is left alone, and when it is tried again."""

from __future__ import annotations

import pytest

from worker.breaker import (
    FAILURES_TO_OPEN,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Breaker,
    BreakerOpen,
)
from worker.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.admit()
        breaker.failed()


def test_it_stays_closed_below_the_limit(breaker: Breaker) -> None:
    fail(breaker, FAILURES_TO_OPEN - 1)
    breaker.admit()
    assert not breaker.is_open


def test_a_success_starts_the_count_anew(breaker: Breaker) -> None:
    for _ in range(10):
        fail(breaker, FAILURES_TO_OPEN - 1)
        breaker.admit()
        breaker.succeeded()
    assert not breaker.is_open


def test_failures_in_a_row_open_it_and_it_says_until_when(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now_s += 4
    with pytest.raises(BreakerOpen) as raised:
        breaker.admit()
    assert raised.value.retry_after_s == FIRST_PAUSE_S - 4


def test_after_the_pause_one_attempt_is_let_through_and_no_second(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now_s += FIRST_PAUSE_S
    breaker.check()
    breaker.admit()
    with pytest.raises(BreakerOpen):
        breaker.admit()


def test_a_good_trial_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now_s += FIRST_PAUSE_S
    breaker.admit()
    breaker.succeeded()
    for _ in range(3):
        breaker.admit()
    assert not breaker.is_open


def test_bad_trials_double_the_pause_up_to_the_longest(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    pauses = []
    pause_s = FIRST_PAUSE_S
    for _ in range(5):
        clock.now_s += pause_s
        fail(breaker)
        with pytest.raises(BreakerOpen) as raised:
            breaker.check()
        pause_s = raised.value.retry_after_s
        pauses.append(pause_s)
    assert pauses == [20.0, 40.0, 60.0, 60.0, 60.0]


def test_a_trial_that_is_cut_off_leaves_the_next_one_due(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now_s += FIRST_PAUSE_S
    breaker.admit()
    breaker.abandoned()
    breaker.admit()


def test_attempts_from_before_it_opened_that_fail_late_do_not_prolong_the_pause(
    breaker: Breaker, clock: Clock
) -> None:
    for _ in range(FAILURES_TO_OPEN + 20):
        breaker.admit()
    for _ in range(FAILURES_TO_OPEN + 20):
        breaker.failed()
    clock.now_s += FIRST_PAUSE_S
    breaker.admit()


def test_an_attempt_from_before_it_opened_that_succeeds_late_closes_it(breaker: Breaker) -> None:
    breaker.admit()
    fail(breaker, FAILURES_TO_OPEN)
    breaker.succeeded()
    assert not breaker.is_open


def test_the_longest_pause_ends_before_the_queue_brings_a_job_back() -> None:
    default_retry_delay_s = Settings.model_fields["retry_delay_s"].default
    assert default_retry_delay_s >= LONGEST_PAUSE_S
