"""Goodness of pronunciation as a score."""

import numpy as np
import pytest

from analysis.calibration import load_calibration
from analysis.gop import GOP_FLOOR_NATS, phone_scores
from analysis.phones import PHONES

TABLE = load_calibration().gop


@pytest.mark.parametrize("phone", range(len(PHONES)))
def test_a_better_fit_never_lowers_a_score(phone: int) -> None:
    gop = np.linspace(-12.0, 0.0, 60)
    scores = phone_scores(np.full(60, phone), gop, TABLE)
    assert (np.diff(scores) >= 0).all()
    assert ((scores >= 0) & (scores <= 100)).all()


def test_nothing_is_told_apart_below_the_floor() -> None:
    low = phone_scores(np.array([3, 3]), np.array([GOP_FLOOR_NATS, -500.0]), TABLE)
    assert low[0] == low[1]
