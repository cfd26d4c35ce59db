"""Arrival curves: jobs in each second of a day, drawn from a rate that rises and falls.

Each curve has the same jobs a day; what differs is when they come. Arrivals are Poisson: a rate
of one job an hour is a few jobs at odd moments, not a trickle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_S: Final = 86_400
HOUR_S: Final = 3_600

MORNING_PEAK_H: Final = 9.0
EVENING_PEAK_H: Final = 20.0
PEAK_WIDTH_H: Final = 1.2
"""Standard deviation of a peak's rise and fall."""

SPIKE_FACTOR: Final = 100
SPIKE_START_H: Final = 12.0
SPIKE_S: Final = 600


def _hours() -> NDArray[np.float64]:
    return np.arange(DAY_S) / HOUR_S


def steady() -> NDArray[np.float64]:
    """The same rate all day."""
    return np.ones(DAY_S)


def morning() -> NDArray[np.float64]:
    """People before work and in the evening: quiet nights, a morning peak of seven times those."""
    hours = _hours()
    peak = np.exp(-0.5 * ((hours - MORNING_PEAK_H) / PEAK_WIDTH_H) ** 2)
    evening = 0.6 * np.exp(-0.5 * ((hours - EVENING_PEAK_H) / (2 * PEAK_WIDTH_H)) ** 2)
    return np.asarray(0.5 + 3.0 * (peak + evening))


def spike() -> NDArray[np.float64]:
    """A steady day in which the rate is a hundredfold for ten minutes, without a warning."""
    rate = np.ones(DAY_S)
    start = int(SPIKE_START_H * HOUR_S)
    rate[start : start + SPIKE_S] = SPIKE_FACTOR
    return rate


CURVES: Final[Mapping[str, Callable[[], NDArray[np.float64]]]] = {
    "steady": steady,
    "morning": morning,
    "spike": spike,
}


def draw(curve: str, jobs_per_day: float, seed: int) -> NDArray[np.int64]:
    """Jobs that arrive in each second of a day.

    Parameters
    ----------
    curve
        A name of `CURVES`. For `spike`, `jobs_per_day` is the day without its spike.
    jobs_per_day
        Jobs expected.
    seed
        The same seed draws the same day.

    Returns
    -------
    (86400,) counts.
    """
    shape = CURVES[curve]()
    per_second = jobs_per_day / DAY_S if curve == "spike" else jobs_per_day / shape.sum()
    return np.random.default_rng(seed).poisson(shape * per_second).astype(np.int64)
