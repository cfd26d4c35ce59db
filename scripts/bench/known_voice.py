"""A voice whose F0 is known, because it was made: the truth that trackers are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.contour import PitchContour

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
STEP_S: Final = 0.01
CENTS_IN_OCTAVE: Final = 1200.0
NEAR_CENTS: Final = 50.0
"""Half a semitone: the usual limit of a pitch that counts as found (MIREX's raw pitch)."""
SIGNAL_TO_NOISE_DB: Final = 25.0
"""A quiet room and a telephone's microphone."""

PHRASE_S: Final = (0.3, 1.2)
PAUSE_S: Final = (0.1, 0.35)
EDGE_S: Final = 0.03
FORMANTS_HZ: Final = ((700, 1200, 2600), (300, 2200, 3000), (500, 900, 2500), (600, 1700, 2500))
BANDWIDTHS_HZ: Final = (80.0, 110.0, 160.0)
HISS_LEVEL: Final = 0.02


@dataclass(frozen=True, eq=False)
class KnownVoice:
    """Samples (n,) in [-1, 1], and the F0 they were made with, NaN where there is no voice."""

    samples: NDArray[np.float32]
    truth: PitchContour


@dataclass(frozen=True)
class Accuracy:
    """A contour against the truth, at each 10 ms.

    Attributes
    ----------
    overall : share of all frames that are rightly unvoiced, or voiced and within 50 cents
        (MIREX's overall accuracy).
    near : share of the truly voiced frames that are voiced and within 50 cents.
    rmse_semitones : over the frames that are voiced in both, octave errors included; NaN
        where there is none.
    voicing : share of all frames that are rightly called voiced or unvoiced.
    """

    overall: float
    near: float
    rmse_semitones: float
    voicing: float


def make(seconds: float, *, median_hz: float, seed: int) -> KnownVoice:
    """Phrases of harmonics under moving formants, with declination and accents; hiss between.

    Each harmonic k of the source falls by 12 dB an octave, as a glottal pulse's do (Fant 1960),
    and is raised where the vowel's resonances lie.
    """
    draw = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE_HZ)
    clock = np.arange(count) / SAMPLE_RATE_HZ
    hz = np.full(count, np.nan)
    level = np.zeros(count)
    at = draw.uniform(*PAUSE_S)
    while at < seconds - PAUSE_S[0]:
        length = min(draw.uniform(*PHRASE_S), seconds - PAUSE_S[0] - at)
        inside = (clock >= at) & (clock < at + length)
        share = (clock[inside] - at) / length
        hz[inside] = median_hz * 2.0 ** (_melody(share, draw) / 12.0)
        edge = min(EDGE_S / length, 0.5)
        level[inside] = np.clip(np.minimum(share, 1.0 - share) / edge, 0.1, 1.0)
        at += length + draw.uniform(*PAUSE_S)
    voiced = ~np.isnan(hz)
    phase = 2.0 * np.pi * np.cumsum(np.where(voiced, hz, 0.0)) / SAMPLE_RATE_HZ
    samples = np.zeros(count)
    formants = _formants(clock, draw)
    for harmonic in range(1, int(SAMPLE_RATE_HZ / 2 / np.nanmin(hz)) + 1):
        at_hz = np.where(voiced, hz, median_hz) * harmonic
        gain = _resonance(at_hz, formants) / harmonic**2
        samples += np.where(at_hz < SAMPLE_RATE_HZ / 2, gain, 0.0) * np.sin(harmonic * phase)
    samples *= level * voiced / np.abs(samples).max() * 0.5
    power = float(np.mean(samples[voiced] ** 2))
    noise = draw.standard_normal(count) * np.sqrt(power / 10.0 ** (SIGNAL_TO_NOISE_DB / 10.0))
    hiss = np.where(voiced, 0.0, HISS_LEVEL) * np.diff(draw.standard_normal(count + 1))
    samples = samples + noise + hiss
    frames = np.arange(0.0, seconds, STEP_S)
    truth = hz[np.minimum(np.round(frames * SAMPLE_RATE_HZ).astype(int), count - 1)]
    return KnownVoice(
        (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32),
        PitchContour(frames, truth, STEP_S),
    )


def accuracy(found: PitchContour, truth: PitchContour) -> Accuracy:
    """Hold a contour against the truth, each at the truth's times."""
    index = np.searchsorted(found.times, truth.times).clip(1, found.times.size - 1)
    before = truth.times - found.times[index - 1] < found.times[index] - truth.times
    nearest = found.hz[index - before]
    real, heard = ~np.isnan(truth.hz), ~np.isnan(nearest)
    both = real & heard
    at_both = found.at(truth.times[both])
    value = np.where(np.isnan(at_both), nearest[both], at_both)
    cents = CENTS_IN_OCTAVE * np.log2(value / truth.hz[both])
    right = int(np.sum(np.abs(cents) <= NEAR_CENTS))
    return Accuracy(
        overall=(right + int(np.sum(~real & ~heard))) / real.size,
        near=right / int(real.sum()),
        rmse_semitones=float(np.sqrt(np.mean((cents / 100.0) ** 2))) if both.any() else np.nan,
        voicing=float(np.mean(real == heard)),
    )


def _melody(share: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """Semitones over a phrase: declination, and an accent somewhere in it."""
    accent = draw.uniform(2.0, 6.0) * np.exp(-(((share - draw.uniform(0.2, 0.8)) / 0.15) ** 2))
    falling = draw.uniform(1.0, 4.0) * (0.5 - share)
    melody: NDArray[np.float64] = falling + accent + draw.uniform(-2.0, 2.0)
    return melody


def _formants(clock: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """(3, n): vowels that follow each other each 150 ms, joined by straight lines."""
    corners = np.arange(0.0, clock[-1] + 0.3, 0.15)
    vowels = np.array(FORMANTS_HZ)[draw.integers(len(FORMANTS_HZ), size=len(corners))]
    return np.stack([np.interp(clock, corners, vowels[:, number]) for number in range(3)])


def _resonance(hz: NDArray[np.float64], formants: NDArray[np.float64]) -> NDArray[np.float64]:
    gain = np.full(hz.shape, 0.05)
    for centre, bandwidth in zip(formants, BANDWIDTHS_HZ, strict=True):
        gain += 1.0 / (1.0 + ((hz - centre) / bandwidth) ** 2)
    return gain
