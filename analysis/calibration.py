"""Fitted numbers: measures to the scores that experts would give, applied with numpy alone.

Everything here was fitted by ``scripts/calibrate.py`` and lies in ``analysis/data``; the file
says on what, when and with which result on held-out speakers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.line_features import LINE_SCORES, NAMES, NETWORK_NAMES, DurationNorms

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALIBRATION_PATH: Final = Path(__file__).parent / "data" / "calibration.json"
# What the heads of each scorer are made of.
FEATURES: Final = {"network": NETWORK_NAMES, "gop": NAMES}
# Those that have a head of their own; the total is a blend of them.
HEADS: Final = LINE_SCORES[:3]
# Up to here a detector says nothing: of 361 lines none is so doubtful as it was read.
DOUBT_FROM: Final = 0.5


@dataclass(frozen=True, eq=False)
class LineHead:
    """One utterance score: a bounded linear function of the line's features, 0–100.

    Features are held inside the range they had in training, so that a line unlike any of it
    cannot be scored beyond what was seen.
    """

    weights: NDArray[np.float64]
    bias: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def score(self, features: NDArray[np.float64]) -> float:
        """Return the score of a row of features, 0–100."""
        held = np.clip(features, self.low, self.high)
        return float(np.clip(self.bias + held @ self.weights, 0.0, 100.0))


@dataclass(frozen=True, eq=False)
class Detector:
    """A logistic model with the threshold at which it raises its flag."""

    weights: NDArray[np.float64]
    bias: float
    threshold: float

    def probability(self, features: NDArray[np.float64]) -> float:
        """Return how probable it is, where it is as frequent as its contrary."""
        z = float(np.clip(self.bias + features @ self.weights, -50.0, 50.0))
        return 1.0 / (1.0 + math.exp(-z))

    def flags(self, features: NDArray[np.float64]) -> bool:
        """Return whether what is detected is more probable than the threshold."""
        return self.probability(features) > self.threshold

    def credit(self, features: NDArray[np.float64]) -> float:
        """Return what scores count for where this may be: from 1 down to 0 at the threshold."""
        doubt = (self.probability(features) - DOUBT_FROM) / (self.threshold - DOUBT_FROM)
        return 1.0 - min(max(doubt, 0.0), 1.0)


@dataclass(frozen=True, eq=False)
class Calibration:
    """All fitted numbers of one version.

    Attributes
    ----------
    heads : for ``network`` and for ``gop``, a head for each of `HEADS`.
    blend : shares of pronunciation, fluency and prosody in the total; their sum is 1.
    gop : (39, 2), see `analysis.gop.phone_scores`.
    durations : usual durations of phones.
    log_priors : (40,) log share of each class of frames in training, silence last.
    omission, wrong_text : for ``network`` and for ``gop``, detectors; their features are made in
        `analysis.presence`.
    """

    heads: dict[str, dict[str, LineHead]]
    blend: dict[str, float]
    gop: NDArray[np.float64]
    durations: DurationNorms
    log_priors: NDArray[np.float64]
    omission: dict[str, Detector]
    wrong_text: dict[str, Detector]
    provenance: dict[str, Any]


@cache
def load_calibration(path: Path = CALIBRATION_PATH) -> Calibration:
    """Read the fitted numbers; they are part of the package and must be there."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Calibration(
        heads={
            scorer: {name: _head(stored["heads"][scorer][name], names) for name in HEADS}
            for scorer, names in FEATURES.items()
        },
        blend=stored["blend"],
        gop=np.array(stored["gop"]),
        durations=DurationNorms(
            np.array(stored["durations"]["mean"]), np.array(stored["durations"]["deviation"])
        ),
        log_priors=np.array(stored["log_priors"]),
        omission={name: _detector(stored["omission"][name]) for name in FEATURES},
        wrong_text={name: _detector(stored["wrong_text"][name]) for name in FEATURES},
        provenance=stored["provenance"],
    )


def _head(stored: dict[str, Any], names: tuple[str, ...]) -> LineHead:
    if tuple(stored["features"]) != names:
        raise ValueError(
            "The calibration names other features than this version makes, or in another order: "
            f"{stored['features']}. Run scripts/calibrate.py."
        )
    return LineHead(
        weights=np.array(stored["weights"]),
        bias=float(stored["bias"]),
        low=np.array(stored["low"]),
        high=np.array(stored["high"]),
    )


def _detector(stored: dict[str, Any]) -> Detector:
    return Detector(np.array(stored["weights"]), stored["bias"], stored["threshold"])
