"""Medians, intervals and ratios of repeated, interleaved runs."""

import random

import pytest

from scripts.bench.figure import Bound, Figure, interleaved


def test_a_figure_is_the_median_of_its_runs_with_an_interval_around_it() -> None:
    figure = Figure.of("core", "decode", "ms", [1.0, 2.0, 3.0, 4.0, 100.0])
    assert (figure.value, figure.runs) == (3.0, 5)
    assert 1.0 <= figure.low <= 3.0 <= figure.high <= 100.0


def test_the_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    draw = random.Random(1)
    held = 0
    for _ in range(200):
        figure = Figure.of("x", "x", "s", [draw.gauss(10.0, 2.0) for _ in range(15)])
        held += figure.low <= 10.0 <= figure.high
    assert 180 <= held <= 200


def test_a_ratio_is_taken_pair_by_pair_so_that_a_slow_moment_cancels() -> None:
    machine = [1.0, 1.0, 5.0, 1.0]  # one moment was five times slower, for both
    figure = Figure.ratio("x", "x", [2 * m for m in machine], machine)
    assert (figure.value, figure.low, figure.high, figure.unit) == (2.0, 2.0, 2.0, "×")


def test_a_ratio_of_unequal_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        Figure.ratio("x", "x", [1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("bound", "value", "met"),
    [
        (Bound("<=", 2.0), 2.0, True),
        (Bound("<=", 2.0), 2.1, False),
        (Bound("<", 2.0), 1.9, True),
        (Bound("<", 2.0), 2.0, False),
        (Bound(">=", 0.9), 0.9, True),
        (Bound(">=", 0.9), 0.8, False),
        (None, 9.0, True),
    ],
)
def test_a_bound_is_met_by_the_median(bound: Bound | None, value: float, met: bool) -> None:
    assert Figure.of("x", "x", "s", [value], bound).is_met is met


def test_things_take_turns_in_a_changing_order() -> None:
    seen = [name for name, _ in interleaved(3, {"a": int, "b": int, "c": int})]
    assert seen == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
