"""The utterance's scores: bounded linear functions of the line's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.line_features import LINE_SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
# A better phone may not lower the line: these may only help, and these may only harm.
HELPING: Final = frozenset({
    "phone_mean", "phone_low_tenth", "phone_low_quarter", "word_minimum_mean", "word_mean",
    "evidence_own", "evidence_lead", "path_fit", "native_mean",
    "native_low_quarter", *LINE_SCORES,
})  # fmt: skip
HARMING: Final = frozenset({"phone_wrong", "phone_doubtful", "word_wrong"})


@dataclass(frozen=True, eq=False)
class FittedHead:
    """Weights on raw features, and the range in which those are held."""

    names: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scores, 0–100, of rows of features."""
        held = np.clip(features, self.low, self.high)
        scores: NDArray[np.float64] = np.clip(self.bias + held @ self.weights, 0.0, 100.0)
        return scores

    def as_dict(self) -> dict[str, Any]:
        """Return the head as calibration.json keeps it."""
        return {
            "features": list(self.names),
            "weights": _rounded(self.weights),
            "bias": round(self.bias, 5),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
        }


def fit_head(
    features: NDArray[np.float64],
    goals: NDArray[np.float64],
    weights: NDArray[np.float64],
    names: tuple[str, ...],
    penalty: float,
) -> FittedHead:
    """Fit goals (0–100) by ridge regression with signs, on standardised features."""
    from scipy.optimize import lsq_linear

    low, high = np.quantile(features, (0.01, 0.99), axis=0)
    held = np.clip(features, low, high)
    mean, deviation = held.mean(axis=0), held.std(axis=0) + 1e-6
    x = (held - mean) / deviation
    middle = float(np.average(goals, weights=weights))
    root = np.sqrt(weights)[:, None]
    stacked = np.r_[x * root, np.eye(x.shape[1]) * np.sqrt(penalty)]
    wanted = np.r_[(goals - middle) * root[:, 0], np.zeros(x.shape[1])]
    bounds = (
        np.array([0.0 if name in HELPING else -np.inf for name in names]),
        np.array([1e-12 if name in HARMING else np.inf for name in names]),
    )
    found = lsq_linear(stacked, wanted, bounds).x / deviation
    return FittedHead(names, found, middle - float(mean @ found), low, high)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
