"""How alike two curves are, and following one along the other."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.likeness import concordance, percent
from analysis.warp import LAGS_S, carry, follow, lagged

CURVE = np.sin(np.linspace(0.0, 12.0, 400)) * 3.0


def mean_likeness(user: np.ndarray, reference: np.ndarray, unnoticed: float = 0.0) -> float:
    found = concordance(user, reference, unnoticed=unnoticed, largest_error=1e9)
    return float(found.by_frame.mean())


def test_without_tolerance_the_mean_is_lins_concordance_coefficient() -> None:
    other = 0.6 * CURVE + np.cos(np.linspace(0.0, 31.0, 400))
    covariance = np.mean((CURVE - CURVE.mean()) * (other - other.mean()))
    expected = 2.0 * covariance / (CURVE.var() + other.var())
    assert mean_likeness(other, CURVE) == pytest.approx(expected)


def test_a_constant_between_two_curves_is_no_difference() -> None:
    assert mean_likeness(CURVE + 40.0, CURVE) == pytest.approx(1.0)


def test_two_curves_that_hardly_move_are_alike_whatever_they_do() -> None:
    rng = np.random.default_rng(3)
    small, other = (0.2 * rng.standard_normal(300) for _ in range(2))
    assert mean_likeness(small, other, unnoticed=1.0) > 0.9
    assert abs(mean_likeness(small, other, unnoticed=0.0)) < 0.2


def test_one_wild_frame_counts_no_more_than_the_largest_error() -> None:
    wild = CURVE.copy()
    wild[10] += 500.0
    bounded = concordance(wild, CURVE, unnoticed=1.0, largest_error=6.0)
    assert bounded.rmse <= 6.0


def test_a_flat_reference_gives_a_finite_ratio_and_no_correlation() -> None:
    found = concordance(CURVE, np.zeros(400), unnoticed=1.0, largest_error=6.0)
    assert np.isfinite(found.ratio)
    assert found.correlation == 0.0


@pytest.mark.parametrize(("share", "expected"), [(-0.3, 0.0), (0.25, 25.0), (1.7, 100.0)])
def test_a_percentage_stays_on_the_scale(share: float, expected: float) -> None:
    assert percent(share) == expected


def test_times_are_carried_within_words_and_nowhere_else() -> None:
    times = np.array([0.1, 0.5, 0.75, 1.0, 1.2])
    word_of, carried = carry(times, [(2.0, 4.0), None], [(0.5, 1.0), (1.0, 1.5)])
    np.testing.assert_array_equal(word_of, [-1, 0, 0, -1, -1])
    np.testing.assert_allclose(carried, [np.nan, 2.0, 3.0, np.nan, np.nan])


def test_a_lag_is_followed_as_far_as_the_longest_and_no_further() -> None:
    clock = np.arange(0.0, 3.0, 0.01)

    def curve(times: np.ndarray) -> np.ndarray:
        return np.asarray(4.0 * np.sin(7.0 * times))

    for shift, is_followed in ((0.05, True), (0.3, False)):
        read = curve(lagged(clock))
        target = curve(clock + shift)
        followed = follow(read, target, clock, unnoticed=1.0, largest_error=6.0)
        assert bool(np.abs(followed - target).max() < 1.0) is is_followed


def test_a_missing_value_is_avoided_when_another_lag_has_one() -> None:
    read = np.tile(np.arange(LAGS_S.size, dtype=np.float64), (30, 1))
    middle = LAGS_S.size // 2
    read[:, middle] = np.nan
    clock = np.linspace(0.0, 0.29, 30)
    followed = follow(read, np.full(30, float(middle)), clock, unnoticed=1.0, largest_error=6.0)
    assert np.isfinite(followed).all()


def test_following_nothing_gives_nothing() -> None:
    nothing = np.empty(0)
    followed = follow(
        np.empty((0, LAGS_S.size)), nothing, nothing, unnoticed=1.0, largest_error=6.0
    )
    assert followed.size == 0


def test_a_lag_may_change_as_much_between_values_far_apart_as_over_many_close_ones() -> None:
    def error_at(step_s: float) -> float:
        clock = np.arange(0.0, 3.0, step_s)
        target = 4.0 * np.sin(7.0 * (clock + 0.05 * np.sin(2.0 * clock)))
        read = 4.0 * np.sin(7.0 * lagged(clock))
        followed = follow(read, target, clock, unnoticed=1.0, largest_error=6.0)
        return float(np.abs(followed - target).mean())

    assert error_at(0.1) < 1.2 * error_at(0.01)
