"""Broken sound files: the right error each, in bounded time and memory, and never another."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.audio import AudioLimits, Recording
from analysis.containers import _frame_ends, _mpeg_length
from analysis.errors import AudioError
from tests.analysis.sound_files import (
    browser_webm,
    bursts,
    by_ffmpeg,
    by_soundfile,
    film,
    silent_flac,
    wav,
    with_index_of,
    without_length,
)

HALF = bursts(16000)[:, 0]
PCM = (HALF * 32767).astype("<i2").tobytes()


@cache
def whole() -> dict[str, bytes]:
    """One good file of each kind whose end can be told."""
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return {
        "wav": by_soundfile(bursts(16000), 16000, "WAV", "PCM_16"),
        "rf64": by_soundfile(bursts(16000), 16000, "RF64", "PCM_16"),
        "flac": by_soundfile(bursts(16000) + noise(2.0), 16000, "FLAC", "PCM_16"),
        "vorbis": by_soundfile(bursts(44100), 44100, "OGG", "VORBIS"),
        "opus": by_soundfile(bursts(48000), 48000, "OGG", "OPUS"),
        "mp3": by_soundfile(bursts(44100), 44100, "MP3", "MPEG_LAYER_III"),
        "mp3 without a header": by_ffmpeg(
            bursts(44100), 44100, "mp3", "libmp3lame", options={"write_xing": "0"}
        ),
        "m4a": by_ffmpeg(bursts(44100), 44100, "ipod", "aac"),
        "mp4 in fragments": by_ffmpeg(bursts(44100), 44100, "mp4", "aac", options=fragments),
        "aac": by_ffmpeg(bursts(44100), 44100, "adts", "aac"),
        "webm": by_ffmpeg(bursts(48000), 48000, "webm", "libopus"),
        "webm of a browser": browser_webm(bursts(48000)),
    }


def noise(seconds: float, rate: int = 16000) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    samples = np.random.default_rng(7).normal(scale=0.05, size=(round(seconds * rate), 1))
    return samples.astype(np.float32)


def refused(data: bytes, limits: AudioLimits | None = None) -> AudioError:
    with pytest.raises(AudioError) as caught:
        Recording.from_bytes(data, limits=limits)
    assert caught.value.stage == "decode"
    assert caught.value.message.endswith(".")
    return caught.value


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


BROKEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no bytes": ("audio_empty", lambda: b""),
    "a header alone": ("audio_empty", lambda: wav(b"")),
    "zero data size, samples behind": ("audio_truncated", lambda: wav(PCM, announced=0)),
    "flac without samples": (
        "audio_empty",
        lambda: by_soundfile(bursts(16000)[:0], 16000, "FLAC", "PCM_16"),
    ),
    "one sample at 192 kHz": ("audio_empty", lambda: wav(PCM[:2], rate=192_000)),
    "nan": (
        "audio_not_finite",
        lambda: wav(np.full(8000, np.nan, "<f4").tobytes(), bits=32, tag=3),
    ),
    "one nan at the end": (
        "audio_not_finite",
        lambda: wav(np.append(HALF, np.nan).astype("<f4").tobytes(), bits=32, tag=3),
    ),
    "infinity": (
        "audio_not_finite",
        lambda: wav(np.full(8000, np.inf, "<f4").tobytes(), bits=32, tag=3),
    ),
    "doubles beyond float": (
        "audio_not_finite",
        lambda: wav(np.full(8000, 1e300, "<f8").tobytes(), bits=64, tag=3),
    ),
    "255 channels": ("audio_unsupported", lambda: wav(PCM[:51000], channels=255)),
    "1 Hz": ("audio_unsupported", lambda: wav(PCM[:200], rate=1)),
    "3 MHz": ("audio_unsupported", lambda: wav(PCM, rate=3_000_000)),
    "0 Hz": ("audio_invalid", lambda: wav(PCM, rate=0)),
    "no channels": ("audio_invalid", lambda: wav(PCM, channels=0)),
    "1 hour by its header": ("audio_too_long", lambda: wav(bytes(16_000_000), bits=8, rate=4000)),
    "an unknown codec in wav": ("audio_invalid", lambda: wav(PCM, tag=0x1234)),
    "wav without samples chunk": (
        "audio_truncated",
        lambda: b"RIFF" + struct.pack("<I", 40) + b"WAVE" + chunk(b"LIST", bytes(28)),
    ),
    "wav of ten thousand chunks": (
        "audio_invalid",
        lambda: b"RIFF" + struct.pack("<I", 80_004) + b"WAVE" + chunk(b"junk", b"") * 10_000,
    ),
    "avi": ("audio_unsupported", lambda: b"RIFF" + struct.pack("<I", 100) + b"AVI " + bytes(96)),
    "aiff": ("audio_unsupported", lambda: by_soundfile(bursts(16000), 16000, "AIFF", "PCM_16")),
    "caf": ("audio_unsupported", lambda: by_soundfile(bursts(16000), 16000, "CAF", "PCM_16")),
    "amr": ("audio_unsupported", lambda: b"#!AMR\n" + bytes(100)),
    "pcm in mov": (
        "audio_unsupported",
        lambda: by_ffmpeg(bursts(8000), 8000, "mov", "pcm_s16le"),
    ),
    "a film without sound": ("audio_invalid", lambda: film(None)),
    "text named .wav": ("audio_invalid", lambda: b"this is no sound"),
    "an error page": ("audio_invalid", lambda: b"<?xml version='1.0'?><Error>AccessDenied</Error>"),
    "json": ("audio_invalid", lambda: b'{"message": "Forbidden"}'),
    "a picture": ("audio_invalid", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "noise": ("audio_invalid", lambda: np.random.default_rng(3).bytes(100_000)),
    "zeros": ("audio_invalid", lambda: bytes(100_000)),
    "an mp3's sync word in noise": (
        "audio_invalid",
        lambda: b"\xff\xfb\x90\x00" + b"\x01" * 5000,
    ),
    "mp4 of a recorder that crashed": (
        "audio_truncated",
        lambda: whole()["m4a"][: whole()["m4a"].index(b"moov") - 4],
    ),
    "mp4 with an index of 50,000,000": (
        "audio_invalid",
        lambda: with_index_of(50_000_000, whole()["m4a"]),
    ),
    "ogg of 400,000 empty pages": (
        "audio_invalid",
        lambda: (b"OggS" + bytes(23)) * 400_000,
    ),
    "webm of 400,000 empty blocks": (
        "audio_invalid",
        lambda: whole()["webm of a browser"] + b"\xa3\x80" * 400_000,
    ),
    "a playlist for ffmpeg": (
        "audio_invalid",
        lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    ),
    "an id3 tag of 256 MB": ("audio_truncated", lambda: b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + PCM),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_code_in_time(name: str) -> None:
    code, make = BROKEN[name]
    data = make()
    start = time.process_time()
    error = refused(data)
    assert error.code == code, error.message
    assert ("built of more than 300,000 pieces" in error.message) == ("00,000" in name)
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize("name", whole())
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_short_is_never_taken_for_a_whole_one(name: str, share: float) -> None:
    data = whole()[name]
    assert Recording.from_bytes(data).duration == pytest.approx(2.0, abs=0.1)
    cut = data[: int(share * len(data))]
    error = refused(cut)
    assert error.code == "audio_truncated" or (len(cut) < 200 and error.code == "audio_invalid")


def test_a_rate_that_changes_on_the_way_is_refused() -> None:
    first, second = (by_ffmpeg(bursts(rate), rate, "adts", "aac") for rate in (48000, 44100))
    error = refused(first + second)
    assert error.code == "audio_unsupported"
    assert "from 1 channels at 48000 Hz to 1 at 44100 Hz" in error.message


def test_packets_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.decoding.MAX_PIECES", 50)
    error = refused(whole()["webm"])
    assert error.code == "audio_invalid"
    assert "more than 50 packets" in error.message


def test_an_mp3_cut_between_two_frames_is_told_by_its_header() -> None:
    mp3 = whole()["mp3"]
    frames = list(_frame_ends(mp3, 0, _mpeg_length))
    assert frames[-1] == len(mp3)
    error = refused(mp3[: frames[len(frames) // 2]])
    assert error.code == "audio_truncated"
    assert f"its header announces {len(mp3):,} bytes" in error.message


def test_a_flac_cut_in_its_metadata_says_so() -> None:
    assert "ends inside its metadata" in refused(whole()["flac"][:30]).message


@pytest.mark.parametrize("announced", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_streamed_wav_that_does_not_know_its_length_is_read_to_its_end(announced: int) -> None:
    assert Recording.from_bytes(wav(PCM, announced=announced)).duration == pytest.approx(2.0)


def test_a_writer_that_counts_its_own_header_as_samples_is_forgiven() -> None:
    assert Recording.from_bytes(wav(PCM, announced=len(PCM) + 44)).duration == pytest.approx(2.0)


def test_a_name_that_lies_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    path.write_bytes(whole()["mp3"])
    assert Recording.from_file(path).source.container == "mp3"


def test_bytes_beyond_the_limit_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(PCM))
    with pytest.raises(AudioError) as caught:
        Recording.from_file(path, limits=AudioLimits(max_bytes=1000))
    assert caught.value.code == "audio_too_large"
    assert refused(wav(PCM), AudioLimits(max_bytes=1000)).code == "audio_too_large"
    assert Recording.from_bytes(wav(PCM), limits=AudioLimits(max_bytes=len(wav(PCM))))


def test_a_huge_file_is_not_read_to_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(AudioError, match="more than 1,000 bytes"):
            Recording.from_file(path, limits=AudioLimits(max_bytes=1000))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_that_announces_too_many_seconds_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def blocks(self: object) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr("analysis.decoding._LibsndfileReader.blocks", blocks)
    assert refused(wav(PCM), AudioLimits(max_seconds=1.9)).code == "audio_too_long"


def test_a_nan_is_called_by_its_name() -> None:
    message = refused(wav(np.full(8000, np.nan, "<f4").tobytes(), bits=32, tag=3)).message
    assert "holds NaN or infinite samples" in message


@pytest.mark.parametrize("kind", ["wav streamed", "flac streamed", "webm", "m4a", "aac", "mp3"])
def test_decoded_seconds_are_counted_where_no_header_tells_them(kind: str) -> None:
    silence = np.zeros((48000 * 6, 1), dtype=np.float32)
    data = {
        "wav streamed": lambda: wav(bytes(12 * 16000), announced=0xFFFF_FFFF),
        "flac streamed": lambda: without_length(
            by_soundfile(silence, 48000, "FLAC", "PCM_16"),
        ),
        "webm": lambda: browser_webm(silence),
        "m4a": lambda: by_ffmpeg(silence, 48000, "ipod", "aac"),
        "aac": lambda: by_ffmpeg(silence, 48000, "adts", "aac"),
        "mp3": lambda: by_ffmpeg(silence, 48000, "mp3", "libmp3lame", options={"write_xing": "0"}),
    }[kind]()
    assert refused(data, AudioLimits(max_seconds=5.0)).code == "audio_too_long"
    assert Recording.from_bytes(data, limits=AudioLimits(max_seconds=7.0)).is_silent


def test_bombs_cost_neither_memory_nor_time(tmp_path: Path) -> None:
    """An hour of silence, with and without its length, and an index of millions."""
    if not Path("/proc/self/status").exists():
        pytest.skip("a process can't see its peak memory: there is no /proc")
    silent_flac(tmp_path / "flac", seconds=3600)
    flac = (tmp_path / "flac").read_bytes()
    assert 500 * len(flac) < 16000 * 3600 * 2
    (tmp_path / "flac-streamed").write_bytes(without_length(flac))
    (tmp_path / "m4a").write_bytes(whole()["m4a"])
    (tmp_path / "mp4-index").write_bytes(with_index_of(50_000_000, whole()["m4a"]))
    program = textwrap.dedent(
        """
        import json, sys, time
        from pathlib import Path
        from analysis.audio import Recording
        from analysis.errors import AudioError

        def peak_mb():
            # Not ru_maxrss: a child inherits its parent's.
            status = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

        folder = Path(sys.argv[1])
        Recording.from_file(folder / "m4a")
        before, start, codes = peak_mb(), time.process_time(), {}
        for name in ("flac", "flac-streamed", "mp4-index"):
            try:
                Recording.from_file(folder / name)
            except AudioError as error:
                codes[name] = error.code
        print(json.dumps([codes, time.process_time() - start, peak_mb() - before]))
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    codes, seconds, grown_mb = json.loads(run.stdout)
    assert codes == {
        "flac": "audio_too_long",
        "flac-streamed": "audio_too_long",
        "mp4-index": "audio_invalid",
    }
    assert seconds < 3.0
    # 120 s at 16 kHz are 7.3 MB; the hour would be 110 MB and the index 1.2 GB.
    assert grown_mb < 40


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(sorted(whole())),
    spots=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), max_size=6),
    keep=st.floats(0, 1),
)
def test_whatever_is_wrong_with_a_file_only_the_own_error_comes(
    name: str, spots: list[tuple[float, bytes]], keep: float
) -> None:
    data = bytearray(whole()[name])
    for place, bytes_there in spots:
        at = int(place * len(data))
        data[at : at + len(bytes_there)] = bytes_there
    start = time.process_time()
    seen = "audio_"
    try:
        recording = Recording.from_bytes(bytes(data[: max(1, int(keep * len(data)))]))
    except AudioError as error:
        seen = error.code
    else:
        assert np.isfinite(recording.samples).all()
    assert seen.startswith("audio_")
    assert time.process_time() - start < 5.0
