"""What one would write first: librosa's decoder, its pYIN, its MFCCs and its time warping.

Tuned as librosa's own documentation and maintainers say, and to its advantage where they leave a
choice: the file's own sampling rate, so that nothing is resampled; the range that a maintainer
gives for speech (librosa's issue 1486); a window of 64 ms, more than three of the longest periods,
and librosa's own steps, which are coarser than those of `analysis`: 16 ms for the contour, 32 ms
for the warping; the actor's MFCCs, which are the same for every learner, made beforehand.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import librosa
import numpy as np

from analysis.contour import PitchContour

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST_HZ: Final = 50.0
HIGHEST_HZ: Final = 500.0
WINDOW_S: Final = 0.064
COEFFICIENTS: Final = 13


@dataclass(frozen=True, eq=False)
class Compared:
    """The speaker's contour, and the frames of the two recordings that belong together."""

    contour: PitchContour
    path: NDArray[np.int64]


def prepare(actor_audio: bytes) -> NDArray[np.float32]:
    """The actor's MFCCs, (13, frames)."""
    samples, rate = librosa.load(io.BytesIO(actor_audio), sr=None)
    return _mfcc(samples, rate)


def compare(audio: bytes, actor_mfcc: NDArray[np.float32]) -> Compared:
    """Load, track the pitch, and warp the recording to the actor's line."""
    samples, rate = librosa.load(io.BytesIO(audio), sr=None)
    contour = track(samples, rate)
    _, path = librosa.sequence.dtw(_mfcc(samples, rate), actor_mfcc)
    return Compared(contour, path)


def track(samples: NDArray[np.float32], rate: float) -> PitchContour:
    """The contour by pYIN, NaN where unvoiced."""
    window = round(WINDOW_S * rate)
    hop = window // 4
    hz, _, _ = librosa.pyin(
        samples, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=rate, frame_length=window, hop_length=hop
    )
    return PitchContour(librosa.times_like(hz, sr=rate, hop_length=hop), hz, hop / rate)


def _mfcc(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    mfcc: NDArray[np.float32] = librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=COEFFICIENTS)
    return mfcc
