"""What native likelihoods of frames say of places, and of words that were said or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import SILENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A frame that fits no state of a phone says no more than this against it, nats.
_LEAST: Final = -40.0
# Gaussians take each frame for news, and neighbouring frames say much the same: what they say of
# words counts by this.
_WEIGHT: Final = 0.3


def by_state(likelihoods: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (frames, 39 · states + 1) what places phones; `best_places` takes it.

    Silence, the last, is the best of its states: it has no order. `likelihoods` (frames, 40,
    states) are those of `NativeModel.hear`.
    """
    phones = likelihoods[:, :SILENCE].reshape(len(likelihoods), -1)
    silence = likelihoods[:, SILENCE].max(axis=1)
    whole: NDArray[np.float64] = np.c_[phones, silence].astype(np.float64)
    np.maximum(whole, _LEAST, out=whole)
    return whole


def by_phone(likelihoods: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (frames / 2, rounded up, 40) what says whether words were said, weighted nats.

    `best_path` takes it. `likelihoods` as in `by_state`.
    """
    best = np.maximum(likelihoods.max(axis=2), _LEAST).astype(np.float64)
    even = np.pad(best, ((0, len(best) % 2), (0, 0)), mode="edge")
    pairs: NDArray[np.float64] = even.reshape(-1, 2, even.shape[1]).mean(axis=1)
    return _WEIGHT * pairs
