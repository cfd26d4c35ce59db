"""The total as a blend of pronunciation, fluency and prosody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.calibration import HEADS
from scripts.training.folds import FOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.hearing import HeardLine

# As the result names them, in the order of HEADS.
PARTS: Final = ("pronunciation", "fluency", "prosody")


def fit_blend(
    held_out: Mapping[str, NDArray[np.float64]],
    heard: Sequence[HeardLine],
    fold: NDArray[np.int64],
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Fit shares that are not negative and sum to 1; also return the held-out totals."""
    x = np.stack([held_out[name] for name in HEADS], axis=1)
    known = np.array([line.line.scores is not None for line in heard])
    truth = (
        np.array([line.line.scores["total"] if line.line.scores else 0.0 for line in heard]) * 10
    )
    totals = np.zeros(len(heard))
    for out in range(FOLDS):
        train, test = known & (fold != out), fold == out
        totals[test] = x[test] @ _shares(x[train], truth[train])
    shares = _shares(x[known], truth[known])
    return dict(zip(PARTS, np.round(shares, 4).tolist(), strict=True)), totals


def _shares(x: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares that follow the truth's variation best; a level apart is no matter."""
    from scipy.optimize import nnls

    shares, _ = nnls(x - x.mean(axis=0), truth - truth.mean())
    if shares.sum() <= 0.0:
        return np.full(x.shape[1], 1.0 / x.shape[1])
    normalised: NDArray[np.float64] = shares / shares.sum()
    return normalised
