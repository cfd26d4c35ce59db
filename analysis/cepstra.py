"""Mel-frequency cepstra as PocketSphinx's acoustic model was trained on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.features import (
    FFT_SAMPLES,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    mel_edges,
    power_spectra,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of the model's feat.params, and PocketSphinx's defaults where that is silent; its frames come as
# often as ours, and their transforms are as long.
WINDOW_SAMPLES: Final = 410
PREEMPHASIS: Final = 0.97
LOWEST_HZ: Final = 130.0
HIGHEST_HZ: Final = 6_800.0
FILTERS: Final = 25
CEPSTRA: Final = 13
LIFTER: Final = 22
# The model knows adults; half of the learners are children, whose formants lie higher, and
# adults lose nothing by it. Filters this much higher make what they say most like it
# (vocal tract length normalisation, Lee & Rose 1998, with one factor for all).
WARP: Final = 1.12
# What lies 40 dB under the loud frames is silence like any other, a microphone's or none at all.
RANGE_DB: Final = 40.0
# So much of the silence around a line counts for the mean, as in the recordings that the model
# was trained on; how much more there is says nothing of the speech.
MARGIN_S: Final = 0.3
# So far under the loud frames a word may begin; a room is fainter.
EDGE_DB: Final = 20.0
_LOUD: Final = 0.95
_POWER_FLOOR: Final = 1e-12


def cepstra(
    samples: NDArray[np.float32], line: tuple[float, float] | None = None, *, warp: float = WARP
) -> NDArray[np.float32]:
    """Return (3, frames, 13): cepstra, their deltas and the deltas of those.

    Parameters
    ----------
    samples : (n,) float32 in [-1, 1] at 16 kHz. Frame k begins at k · 10 ms.
    line : where speech begins and ends, s: the cepstral mean is taken there, and taken off
        everywhere (cepstral mean normalisation, Atal 1974). Where that is not known yet, from the
        first to the last frame that is no fainter than a word's edge (`EDGE_DB`).
    warp : how many times higher the filters lie than in the model's training.

    References
    ----------
    Davis & Mermelstein (1980), IEEE Trans. ASSP 28.
    """
    emphasised = np.append(samples[:1], samples[1:] - np.float32(PREEMPHASIS) * samples[:-1])
    if len(emphasised) < WINDOW_SAMPLES:
        emphasised = np.pad(emphasised, (0, WINDOW_SAMPLES - len(emphasised)))
    energies = power_spectra(emphasised, _window()) @ _filters(warp)
    level = energies.mean(axis=1)
    heard = frames_around(line or _outline(level), len(energies))
    floor = max(_loudness(level[heard]) * 10.0 ** (-RANGE_DB / 10.0), _POWER_FLOOR)
    own = np.log(np.maximum(energies, np.float32(floor))) @ _transform()
    own -= own[heard].mean(axis=0)
    around = np.pad(own, ((3, 3), (0, 0)), "edge")

    def at(shift: int) -> NDArray[np.float32]:
        moved: NDArray[np.float32] = around[3 + shift : 3 + shift + len(own)]
        return moved

    delta = at(2) - at(-2)
    return np.stack((own, delta, (at(3) - at(-1)) - (at(1) - at(-3))))


def _outline(level: NDArray[np.float32]) -> tuple[float, float]:
    """Return from when to when a recording is loud, s, by the power of its frames."""
    frames = np.flatnonzero(level >= _loudness(level) * 10.0 ** (-EDGE_DB / 10.0))
    seconds = HOP_SAMPLES / SAMPLE_RATE_HZ
    return float(frames[0]) * seconds, float(frames[-1] + 1) * seconds


def _loudness(level: NDArray[np.float32]) -> float:
    """Return the power of loud frames, whatever part of the recording is silence."""
    return float(np.quantile(level[level >= level.max() * 10.0 ** (-RANGE_DB / 10.0)], _LOUD))


def frames_around(line: tuple[float, float], frames: int) -> slice:
    """Return the frames between two times, s, with `MARGIN_S` on either side; at least one."""
    per_second = SAMPLE_RATE_HZ / HOP_SAMPLES
    first = min(max(round((line[0] - MARGIN_S) * per_second), 0), frames - 1)
    return slice(first, max(round((line[1] + MARGIN_S) * per_second), first + 1))


@cache
def _window() -> NDArray[np.float32]:
    return np.hamming(WINDOW_SAMPLES).astype(np.float32)


@cache
def _filters(warp: float) -> NDArray[np.float32]:
    """Return (bins, `FILTERS`): triangles of equal area, evenly spaced in mel, then moved up."""
    spacing = SAMPLE_RATE_HZ / FFT_SAMPLES
    edges = mel_edges(LOWEST_HZ, HIGHEST_HZ, FILTERS)
    edges = np.minimum(edges * warp, SAMPLE_RATE_HZ / 2 - spacing)
    bins = np.fft.rfftfreq(FFT_SAMPLES, 1.0 / SAMPLE_RATE_HZ)[:, None]
    low = np.minimum(edges[:-2], edges[1:-1] - spacing)
    high = np.maximum(edges[2:], edges[1:-1] + spacing)
    rising = (bins - low) / (edges[1:-1] - low)
    falling = (high - bins) / (high - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    filters: NDArray[np.float32] = triangles.astype(np.float32)
    return filters


@cache
def _transform() -> NDArray[np.float32]:
    """Return (`FILTERS`, `CEPSTRA`): the orthonormal cosine transform with its lifter."""
    order = np.arange(CEPSTRA)
    cosines = np.cos(np.pi * (np.arange(FILTERS)[:, None] + 0.5) * order / FILTERS)
    cosines *= np.sqrt(np.where(order == 0, 1.0, 2.0) / FILTERS)
    lifted = cosines * (1.0 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))
    transform: NDArray[np.float32] = lifted.astype(np.float32)
    return transform
