"""Turns at a steady pace."""

from __future__ import annotations

import pytest

from worker.ratelimit import MAX_WAIT_S, Pace, PaceExceeded


class Clock:
    def __init__(self) -> None:
        self.now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


def test_turns_are_evenly_spaced() -> None:
    pace = Pace(4, Clock())
    assert [pace.reserve() for _ in range(5)] == [0, 0.25, 0.5, 0.75, 1.0]


def test_a_pause_saves_up_no_burst() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    pace.reserve()
    clock.now_s += 100
    assert [round(pace.reserve(), 6) for _ in range(3)] == [0, 0.1, 0.2]


def test_a_turn_too_far_off_is_not_taken() -> None:
    clock = Clock()
    pace = Pace(0.1, clock)
    taken = [pace.reserve() for _ in range(7)]
    assert taken[-1] == MAX_WAIT_S
    for _ in range(3):
        with pytest.raises(PaceExceeded) as raised:
            pace.reserve()
        assert raised.value.retry_after_s == 70
    clock.now_s += 10
    assert pace.reserve() == MAX_WAIT_S


def test_looking_takes_no_turn() -> None:
    pace = Pace(1, Clock())
    assert pace.wait_s() == 0
    assert pace.reserve() == 0
    assert pace.wait_s() == pace.wait_s() == 1
