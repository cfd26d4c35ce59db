"""Log-mel features: what must not move them, and what must."""

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.features import BANDS, log_mel

RNG = np.random.default_rng(3)
RATE = 16_000


def syllables(seconds: float = 1.5) -> NDArray[np.float32]:
    """A buzz that rises and falls four times a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    buzz = np.sign(np.sin(2 * np.pi * 120 * time)) * (1 + np.sin(2 * np.pi * 4 * time)) / 4
    noise = 0.001 * RNG.standard_normal(len(time))
    sound: NDArray[np.float32] = (buzz + noise).astype(np.float32)
    return sound


def test_there_is_a_row_every_ten_milliseconds() -> None:
    assert log_mel(np.zeros(16_000, np.float32)).shape == (101, BANDS)
    assert log_mel(np.zeros(1, np.float32)).shape == (1, BANDS)


def test_a_louder_recording_looks_the_same() -> None:
    sound = syllables()
    assert np.abs(log_mel(sound) - log_mel(0.1 * sound)).mean() < 0.01


def test_more_silence_around_the_line_does_not_move_it() -> None:
    sound = syllables()
    quiet = 1e-4 * RNG.standard_normal(16_000).astype(np.float32)
    short = log_mel(np.concatenate((quiet[:4_800], sound, quiet[:4_800])))
    long = log_mel(np.concatenate((quiet, sound, quiet)))
    assert np.abs(long[110:240] - short[40:170]).mean() < 0.1


@pytest.mark.parametrize("seconds", [5, 40])
@pytest.mark.parametrize("level", [0.0, 1e-4, 1e-3], ids=["nothing", "faint hiss", "hiss"])
def test_a_line_in_a_long_silence_is_seen_as_in_a_short_one(seconds: int, level: float) -> None:
    sound = np.pad(syllables(), (seconds * RATE, seconds * RATE))
    noise = (level * RNG.standard_normal(len(sound))).astype(np.float32)
    long = log_mel(sound + noise)
    middle = slice((seconds - 1) * RATE, len(sound) - (seconds - 1) * RATE)
    short = log_mel((sound + noise)[middle])
    start = 100 * seconds
    assert np.abs(long[start + 10 : start + 140] - short[110:240]).mean() < 0.1


@pytest.mark.parametrize("sound", [np.zeros(8000), np.full(8000, 0.5), np.eye(1, 8000)[0]])
def test_features_of_what_is_no_speech_are_finite(sound: NDArray[np.float64]) -> None:
    assert np.isfinite(log_mel(sound.astype(np.float32))).all()


def test_a_tone_stands_out_in_its_own_band() -> None:
    time = np.arange(RATE) / RATE
    tone = (np.sin(2 * np.pi * 1000 * time) * (time > 0.5)).astype(np.float32)
    mel = log_mel(tone + 0.001 * RNG.standard_normal(RATE).astype(np.float32))
    rise = mel[60:90].mean(axis=0) - mel[10:40].mean(axis=0)
    # 1000 mel is 1000 Hz: band 80 · (1000 − 94) / (2786 − 94) ≈ 27.
    assert abs(int(rise.argmax()) - 27) <= 3
