"""Fitting the trees: the core reads what was grown, and it keeps its directions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.refinement import NAMES
from scripts.training.refinement import DEPTH, TREES, _boosted, _usual

OWN = NAMES.index("own")
SILENCE = NAMES.index("silence")


def drawn(rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Noise, and marks that go with two columns, in ways that only one of them may."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(rows, len(NAMES)))
    marks = -np.abs(table[:, OWN]) + np.abs(table[:, SILENCE]) + 0.1 * rng.normal(size=rows)
    return table, marks


def test_trees_learn_what_they_may_and_never_against_their_direction() -> None:
    table, marks = drawn(4000)
    trees = _boosted(table, marks)  # raises where the core would read the trees otherwise
    assert trees.features.shape == (TREES, 2**DEPTH - 1)
    step = np.zeros((50, len(NAMES)))
    step[:, OWN] = np.linspace(-2.0, 2.0, 50)
    rising = trees.predict(step)
    assert np.diff(rising).min() >= 0.0
    assert rising[20] > rising[0] + 0.3
    both_ways = np.zeros((50, len(NAMES)))
    both_ways[:, SILENCE] = np.linspace(-2.0, 2.0, 50)
    bent = trees.predict(both_ways)
    assert bent[0] > bent[25] + 0.3
    assert bent[-1] > bent[25] + 0.3


def test_a_phone_seen_seldom_is_drawn_to_the_mean_of_all() -> None:
    phones = np.r_[np.zeros(1000, np.int64), np.ones(10, np.int64)]
    rival = np.full(1010, 5)
    marks = np.r_[np.full(1000, 2.0), np.zeros(10)]
    usual = _usual(phones, rival, marks)
    middle = marks.mean()
    assert usual.phone[0] == pytest.approx(2.0, abs=0.01)
    assert usual.phone[1] == pytest.approx(20 * middle / 30)
    assert usual.phone[2] == pytest.approx(middle)  # never seen
    assert usual.phone[39] == pytest.approx(middle)  # the edge of a line
    assert usual.beside[1, 5] == pytest.approx(20 * usual.phone[1] / 30)
    assert usual.beside[1, 6] == pytest.approx(usual.phone[1])
