"""Goodness of pronunciation from the aligner's own likelihoods: the score with no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import PHONE_INDEX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.alignment import AlignedPhone

# A phone that fits no state of the model at all; below it nothing more is told apart.
GOP_FLOOR_NATS: Final = -8.0


def goodness(phone: AlignedPhone) -> float:
    """Return the goodness of pronunciation of an aligned phone in nats, 0 being the best.

    GOP (Witt & Young 2000) is log p(frames | phone) − max over phones, per frame. PocketSphinx
    scores each frame relative to the best state of its whole model, so the mean over the
    phone's frames is that difference already, with the free phone loop replaced by the best
    state of each frame. NaN when the aligner gave no likelihood.
    """
    return max(phone.log_likelihood, GOP_FLOOR_NATS)


def phone_scores(phones: Sequence[AlignedPhone], slopes: NDArray[np.float64]) -> list[float | None]:
    """Return a 0–100 score for each phone from its GOP and the fitted table of its class.

    Parameters
    ----------
    phones : aligned phones.
    slopes : (39, 2), a row for each of `PHONES`: a and b of 100 / (1 + exp(−(a + b · GOP))),
        b ≥ 0, so that a better fit never lowers a score.
    """
    scores: list[float | None] = []
    for phone in phones:
        gop = goodness(phone)
        if math.isnan(gop):
            scores.append(None)
            continue
        intercept, slope = slopes[PHONE_INDEX[phone.phone]]
        scores.append(100.0 / (1.0 + math.exp(-(intercept + slope * gop))))
    return scores
