"""Goodness of pronunciation from the aligner's own likelihoods: the score with no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A phone that fits no state of the model at all; below it nothing more is told apart.
GOP_FLOOR_NATS: Final = -8.0
# Of a phone that PocketSphinx was not asked about.
GOP_UNKNOWN_NATS: Final = GOP_FLOOR_NATS / 2


def phone_scores(
    phones: NDArray[np.int64], likelihoods: NDArray[np.float64], table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the score of each phone, 0–100, from its goodness of pronunciation.

    GOP (Witt & Young 2000) is log p(frames | phone) − max over phones, per frame. PocketSphinx
    scores each frame relative to the best state of its whole model, so the mean over the
    phone's frames is that difference already, with the best state of each frame in place of a
    free phone loop.

    Parameters
    ----------
    phones : (P,) rows of `PHONES`.
    likelihoods : (P,) `AlignedPhone.log_likelihood`, nats.
    table : (39, 2), a and b of 100 / (1 + exp(−(a + b · GOP))) for each of `PHONES`, b ≥ 0 so
        that a better fit never lowers a score.
    """
    gop = np.maximum(likelihoods, GOP_FLOOR_NATS)
    intercept, slope = table[phones].T
    scores: NDArray[np.float64] = 100.0 / (1.0 + np.exp(-(intercept + slope * gop)))
    return scores
