"""Log-mel features: what the phone network sees of a recording."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
WINDOW_SAMPLES: Final = 400  # 25 ms
HOP_SAMPLES: Final = 160  # 10 ms
FFT_SAMPLES: Final = 512
BANDS: Final = 80
LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 7_600.0
# Below the self-noise of any microphone at 16 bits: keeps digital silence finite.
ENERGY_FLOOR: Final = 1e-8
# Of log power; 19 of 20 recordings of speech have less between their silence and their vowels.
# Beyond lies digital silence, which must not decide what is loud.
RANGE_NATS: Final = 10.0
# Of silence only so much counts: what lies within so many frames of a loud one, and then as many
# frames again as all that. None of 2,500 lines read aloud has more of it.
NEAR_FRAMES: Final = 50
# A bang shorter than any word does not say what is loud.
LEAST_LOUD_FRAMES: Final = 20
# A band that never moves (a tone, digital silence) must not be blown up into features.
MIN_DEVIATION: Final = 0.5


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return normalised log-mel energies of 16 kHz samples.

    Parameters
    ----------
    samples : (n,) float32 in [-1, 1].

    Returns
    -------
    (frames, `BANDS`) float32, a frame every 10 ms, frame k centred on k · 10 ms. Each band has
    mean 0 and deviation 1 over the louder half of the utterance's dynamic range, so that
    neither a microphone's level nor the length of the silence around the line moves them.
    """
    padded = np.pad(samples, (WINDOW_SAMPLES // 2, WINDOW_SAMPLES // 2 + HOP_SAMPLES))
    power = power_spectra(padded, _window())[: 1 + len(samples) // HOP_SAMPLES]
    mel = np.log(power @ _filterbank() + np.float32(ENERGY_FLOOR))
    return normalise(mel)


def power_spectra(samples: NDArray[np.float32], window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (frames, bins) the power of each windowed stretch of samples, one every 10 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(window))[::HOP_SAMPLES]
    spectrum = np.fft.rfft(frames * window, n=FFT_SAMPLES, axis=1)
    power: NDArray[np.float32] = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return power


def mel_edges(lowest_hz: float, highest_hz: float, filters: int) -> NDArray[np.float64]:
    """Return (`filters` + 2,) Hz, evenly spaced in mel: each filter's ends and the next's middle.

    mel = 2595 log10(1 + f / 700) (O'Shaughnessy 1987).
    """
    lowest, highest = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (lowest_hz, highest_hz))
    edges: NDArray[np.float64] = 700.0 * (
        10.0 ** (np.linspace(lowest, highest, filters + 2) / 2595.0) - 1.0
    )
    return edges


def normalise(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise each band over the frames that hold speech; see `log_mel`."""
    level = mel.mean(axis=1)
    heard = _near_speech(level)
    high = float(np.quantile(level[heard], 0.95))
    loud = mel[heard][level[heard] >= _middle(level[heard], high)]
    deviation = np.maximum(loud.std(axis=0), MIN_DEVIATION)
    normalised: NDArray[np.float32] = ((mel - loud.mean(axis=0)) / deviation).astype(np.float32)
    return normalised


def _near_speech(level: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (frames,) which count, by their levels: those of the line, and no long silence."""
    rank = min(LEAST_LOUD_FRAMES, max(len(level) // 20, 1))
    high = float(np.partition(level, -rank)[-rank])
    loud = np.flatnonzero(level >= _middle(level, high))
    frames = np.arange(len(level))
    after = np.searchsorted(loud, frames)
    before = np.abs(frames - loud[np.maximum(after - 1, 0)])
    away = np.minimum(before, np.abs(frames - loud[np.minimum(after, len(loud) - 1)]))
    count = 2 * int((away <= NEAR_FRAMES).sum())
    near = np.zeros(len(level), dtype=np.bool_)
    near[np.argsort(away, kind="stable")[:count]] = True
    return near


def _middle(level: NDArray[np.float32], high: float) -> float:
    """Return the middle of the range of levels that ends at `high`."""
    return (max(float(np.quantile(level, 0.05)), high - RANGE_NATS) + high) / 2.0


@cache
def _window() -> NDArray[np.float32]:
    return np.hanning(WINDOW_SAMPLES).astype(np.float32)


@cache
def _filterbank() -> NDArray[np.float32]:
    """Return (bins, bands): triangles of equal area, evenly spaced on the mel scale."""
    edges = mel_edges(LOWEST_HZ, HIGHEST_HZ, BANDS)
    bins = np.fft.rfftfreq(FFT_SAMPLES, 1.0 / SAMPLE_RATE_HZ)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    # A low triangle can be narrower than the spacing of the bins: it then takes the nearest.
    for band in np.flatnonzero(triangles.sum(axis=0) == 0.0):
        triangles[np.abs(bins[:, 0] - edges[band + 1]).argmin(), band] = 1.0
    filterbank: NDArray[np.float32] = (triangles / triangles.sum(axis=0)).astype(np.float32)
    return filterbank
