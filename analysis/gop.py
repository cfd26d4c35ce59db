"""Goodness of pronunciation as a score: what a phone has with no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below it learners' phones are no longer told apart.
GOP_FLOOR_NATS: Final = -8.0


def phone_scores(
    phones: NDArray[np.int64], gop: NDArray[np.float64], table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the score of each phone, 0–100, from its goodness of pronunciation.

    Parameters
    ----------
    phones : (P,) rows of `PHONES`.
    gop : (P,) nats, see `analysis.nativeness`.
    table : (39, 2), a and b of 100 / (1 + exp(−(a + b · GOP))) for each of `PHONES`, b ≥ 0 so
        that a better fit never lowers a score.
    """
    intercept, slope = table[phones].T
    held = np.maximum(gop, GOP_FLOOR_NATS)
    scores: NDArray[np.float64] = 100.0 / (1.0 + np.exp(-(intercept + slope * held)))
    return scores
