"""What a `Recording` says of itself, and that it depends on the bytes alone."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.errors import AnalysisError, AudioError
from tests.analysis.sound_files import bursts, by_ffmpeg, by_soundfile, wav


def tone(seconds: float, level: float, rate: int = 16000) -> NDArray[np.float32]:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def codes(recording: Recording) -> list[str]:
    return [warning.code for warning in recording.warnings]


def test_duration_and_levels_are_those_of_the_sound() -> None:
    recording = Recording.from_samples(tone(1.5, 0.5), 16000)
    assert recording.duration == 1.5
    assert recording.peak_dbfs == pytest.approx(-6.02, abs=0.05)
    assert recording.rms_dbfs == pytest.approx(-9.03, abs=0.05)
    assert not recording.is_silent
    assert recording.warnings == ()


def test_digital_silence_is_a_recording_that_says_so() -> None:
    recording = Recording.from_bytes(wav(bytes(32000)))
    assert recording.is_silent
    assert recording.peak_dbfs == float("-inf")
    assert recording.rms_dbfs == float("-inf")
    assert codes(recording) == ["low_level"]
    assert "silent" in recording.warnings[0].message


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.clip(tone(1.0, 1.6), -1, 1), ["clipping"]),
        (tone(1.0, 0.95), []),
        (tone(1.0, 0.005), ["low_level"]),
        (tone(0.2, 0.5), ["very_short"]),
        (tone(1.0, 0.5) * 32768, ["over_range"]),
        (tone(0.1, 0.005), ["very_short", "low_level"]),
    ],
    ids=["clipped", "loud", "faint", "short", "integers as floats", "short and faint"],
)
def test_what_a_listener_would_complain_about_is_a_warning(
    samples: NDArray[np.float32], expected: list[str]
) -> None:
    assert codes(Recording.from_bytes(by_soundfile(samples, 16000, "WAV", "FLOAT"))) == expected


def test_samples_stay_within_full_scale() -> None:
    recording = Recording.from_samples(tone(1.0, 3.0, 48000), 48000)
    assert np.abs(recording.samples).max() == pytest.approx(1.0)


def test_channels_are_averaged() -> None:
    left, right = tone(1.0, 0.4), np.zeros(16000, dtype=np.float32)
    recording = Recording.from_bytes(
        by_soundfile(np.stack([left, right], axis=1), 16000, "WAV", "FLOAT")
    )
    np.testing.assert_allclose(recording.samples, left / 2, atol=1e-6)
    assert recording.source.channels == 2


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_an_inverted_channel_of_samples_does_not_silence_the_other(rate: int) -> None:
    mono = tone(1.0, 0.4, rate)
    both = Recording.from_samples(np.stack([0.5 * mono, -0.505 * mono], axis=1), rate)
    alone = Recording.from_samples(-0.505 * mono, rate)
    assert codes(both) == ["channels_cancel"]
    assert "only channel 2 was used" in both.warnings[0].message
    assert both.source.channels == 2
    np.testing.assert_array_equal(both.samples, alone.samples)


def test_an_inverted_channel_does_not_silence_the_other() -> None:
    left = tone(1.0, 0.4)
    recording = Recording.from_bytes(
        by_soundfile(np.stack([left, -left], axis=1), 16000, "WAV", "FLOAT")
    )
    np.testing.assert_allclose(recording.samples, left, atol=1e-6)
    assert codes(recording) == ["channels_cancel"]


def test_samples_can_not_be_changed_by_whoever_reads_them() -> None:
    recording = Recording.from_bytes(wav(bytes(32000)))
    with pytest.raises(ValueError, match="read-only"):
        recording.samples[0] = 1.0


def test_samples_in_memory_are_not_tied_to_the_recording() -> None:
    samples = tone(1.0, 0.5)
    recording = Recording.from_samples(samples, 16000)
    samples[:] = 0.0
    assert recording.peak_dbfs > -10


def test_the_same_bytes_give_the_same_bits_in_any_order_and_process(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=(44100, 1)).astype(np.float32)
    files = {
        "a.flac": by_soundfile(noise, 44100, "FLAC", "PCM_16"),
        "b.mp3": by_soundfile(noise, 44100, "MP3", "MPEG_LAYER_III"),
        "c.m4a": by_ffmpeg(noise, 44100, "ipod", "aac"),
        "d.webm": by_ffmpeg(bursts(48000), 48000, "webm", "libopus"),
    }

    def digest(name: str) -> str:
        return hashlib.sha256(Recording.from_bytes(files[name]).samples.tobytes()).hexdigest()

    forwards = {name: digest(name) for name in files}
    backwards = {name: digest(name) for name in reversed(files)}
    assert forwards == backwards
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    program = (
        "import hashlib, pathlib, sys\n"
        "from analysis.audio import Recording\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    print(hashlib.sha256(Recording.from_file(path).samples.tobytes()).hexdigest())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == list(forwards.values())


def test_a_long_recording_is_resampled_without_a_seam() -> None:
    recording = Recording.from_samples(tone(5.0, 0.5, 44100), 44100)
    inside = slice(SAMPLE_RATE_HZ // 10, -SAMPLE_RATE_HZ // 10)
    np.testing.assert_allclose(recording.samples[inside], tone(5.0, 0.5)[inside], atol=1e-4)


def test_an_unreadable_path_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recording.from_file(tmp_path / "none.wav")


def test_decoding_needs_neither_librosa_nor_praat() -> None:
    program = (
        "import sys, analysis.audio, analysis.reference\n"
        "print([m for m in ('librosa', 'parselmouth', 'pocketsphinx', 'scipy', 'numba')"
        " if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_errors_and_recordings_cross_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(AudioError("audio_empty", "Nothing there.")))
    assert isinstance(error, AudioError)
    assert (error.code, error.message, error.stage) == ("audio_empty", "Nothing there.", "decode")
    assert str(error) == "Nothing there."
    assert isinstance(error, AnalysisError)
    recording = Recording.from_samples(tone(0.5, 0.5), 16000)
    assert pickle.loads(pickle.dumps(recording)).samples.tobytes() == recording.samples.tobytes()
