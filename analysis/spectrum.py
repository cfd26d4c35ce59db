"""The spectral likeness of a line to the actor's: cepstra along the best path in time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.likeness import percent

if TYPE_CHECKING:
    from analysis.audio import Recording

Floats = NDArray[np.float64]

WINDOW_S: Final = 0.025
STEP_S: Final = 0.02
FFT_SAMPLES: Final = 512
MEL_BANDS: Final = 40
# The usual 13 but the first, which is level.
CEPSTRA: Final = slice(1, 13)
LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 7600.0
POWER_FLOOR: Final = 1e-10
# Frames this far below the loudest are silence, which is like any other silence.
RANGE_DB: Final = 45.0
MIN_FRAMES: Final = 10


@dataclass(frozen=True)
class SpectrumComparison:
    """Spectral likeness; None where either has too little speech.

    Attributes
    ----------
    score : 0–100: 100 for the same sound, 0 for one no nearer than chance.
    distance : mean distance of normalised cepstra along the path.
    chance_distance : the same with the reference turned back to front.
    """

    score: float | None
    distance: float | None
    chance_distance: float | None


def compare_spectra(user: Recording, reference: Recording) -> SpectrumComparison:
    """Compare mel-frequency cepstra along the path of dynamic time warping.

    Twelve cepstra each 20 ms, normalised to mean 0 and deviation 1 over the speech of each
    recording (CMVN, which takes out microphone and room and part of the voice), aligned by
    dynamic time warping with Euclidean distance; d is the mean distance along the path. The scale
    is taken from the same pair: d₀ is the distance to the reference turned back to front, which
    has the same sounds and none of the words. ``score = 100 · max(0, 1 − d / d₀)``.

    References
    ----------
    Davis & Mermelstein (1980), IEEE Trans. ASSP 28 (cepstra). Sakoe & Chiba (1978), IEEE Trans.
    ASSP 26 (the warping).
    """
    ours, theirs = _cepstra(user), _cepstra(reference)
    if min(len(ours), len(theirs)) < MIN_FRAMES:
        return SpectrumComparison(None, None, None)
    distance = _path_distance(ours, theirs)
    chance = _path_distance(ours, theirs[::-1])
    likeness = 1.0 - distance / chance if chance > 0.0 else 0.0
    return SpectrumComparison(percent(likeness), distance, chance)


def _path_distance(ours: Floats, theirs: Floats) -> float:
    _prepare_numba()
    from librosa.sequence import dtw

    # |a − b|² = |a|² + |b|² − 2ab, floored since rounding can take equal frames below zero.
    squared = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)[None, :]
    cost = np.sqrt(np.maximum(squared - 2.0 * ours @ theirs.T, 0.0))
    accumulated, path = dtw(C=cost)
    return float(accumulated[-1, -1]) / len(path)


def _cepstra(recording: Recording) -> Floats:
    """Return normalised cepstra of the frames with speech, shape (frames, 12)."""
    from scipy.fft import dct

    window = int(WINDOW_S * recording.sample_rate)
    hop = int(STEP_S * recording.sample_rate)
    if recording.samples.size < window:
        return np.empty((0, CEPSTRA.stop - CEPSTRA.start))
    frames = np.lib.stride_tricks.sliding_window_view(recording.samples, window)[::hop]
    spectrum = np.fft.rfft(frames * np.hanning(window), n=FFT_SAMPLES, axis=1)
    mel = np.abs(spectrum) ** 2 @ _filterbank(recording.sample_rate).T
    level = 10.0 * np.log10(mel.sum(axis=1) + POWER_FLOOR)
    log_mel = np.log(mel[level > level.max() - RANGE_DB] + POWER_FLOOR)
    cepstra = dct(log_mel, type=2, axis=1, norm="ortho")[:, CEPSTRA]
    deviation = np.maximum(cepstra.std(axis=0), 1e-3)
    return np.asarray((cepstra - cepstra.mean(axis=0)) / deviation)


def _prepare_numba() -> None:
    """Let numba's cache serve on every CPU: called before librosa is, which loads numba.

    librosa takes seconds to load, and scipy and numba with it, so that only jobs with the actor's
    audio do it. The cache is keyed by CPU model; without the generic one, a host unlike the one
    that built the image compiles for half a minute.
    """
    os.environ.setdefault("NUMBA_CPU_NAME", "generic")


@cache
def _filterbank(sample_rate: int) -> Floats:
    _prepare_numba()
    from librosa.filters import mel

    return np.asarray(
        mel(sr=sample_rate, n_fft=FFT_SAMPLES, n_mels=MEL_BANDS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ),
        dtype=np.float64,
    )
