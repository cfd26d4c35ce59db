"""How like native speech each phone of a line was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.cepstra import HOP_SAMPLES, SAMPLE_RATE_HZ, cepstra
from analysis.gop import GOP_FLOOR_NATS
from analysis.native_model import load_native_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.segments import Segments

_FRAME_S: Final = HOP_SAMPLES / SAMPLE_RATE_HZ


def nativeness(samples: NDArray[np.float32], rows: Segments) -> NDArray[np.float64]:
    """Return (P,) goodness of pronunciation of the aligned phones beside native ones, nats.

    The mean over a phone's frames of log p(frame | phone) − max over phones, at least
    `GOP_FLOOR_NATS`: the measure of Witt & Young (2000), by Gaussians that never met a learner.
    The network, which has met no one else, cannot know it.

    Parameters
    ----------
    samples : (n,) float32 in [-1, 1] at 16 kHz.
    rows : the aligned phones.
    """
    features = cepstra(samples)
    count = features.shape[1]
    frames = np.rint(rows.spans / _FRAME_S).astype(int)
    start = np.minimum(frames[:, 0], count - 1)
    past = np.maximum(np.minimum(frames[:, 1], count), start + 1)
    # What lies around the line is not asked about.
    first = int(start.min())
    fits = load_native_model().fits(features[:, first : int(past.max())])
    return phone_means(fits, rows.phones, start - first, past - first)


def phone_means(
    fits: NDArray[np.float32],
    phones: NDArray[np.int64],
    start: NDArray[np.int64],
    past: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return (P,) the mean fit (frames, 40) of each phone over its frames, floored."""
    total = np.zeros((len(fits) + 1, fits.shape[1]))
    np.cumsum(fits, axis=0, dtype=np.float64, out=total[1:])
    means = (total[past, phones] - total[start, phones]) / (past - start)
    floored: NDArray[np.float64] = np.maximum(means, GOP_FLOOR_NATS)
    return floored
