"""Every format that a recorder writes becomes the same recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
import soxr

from analysis.audio import SAMPLE_RATE_HZ, Recording
from tests.analysis.sound_files import (
    BURST_LENGTH_S,
    BURSTS_S,
    browser_webm,
    burst_time,
    bursts,
    by_ffmpeg,
    by_soundfile,
    film,
)

CENTRE_S = BURSTS_S[0] + BURST_LENGTH_S / 2
AAC_DELAY = 1024
"""Samples that FFmpeg's encoder puts before the sound, where the container can't declare them."""

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}

EXACT: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "wav 16": (lambda: by_soundfile(bursts(16000), 16000, "WAV", "PCM_16"), "wav", "pcm_16"),
    "wav 24": (lambda: by_soundfile(bursts(44100), 44100, "WAV", "PCM_24"), "wav", "pcm_24"),
    "wav 32": (lambda: by_soundfile(bursts(96000), 96000, "WAV", "PCM_32"), "wav", "pcm_32"),
    "wav float": (lambda: by_soundfile(bursts(48000), 48000, "WAV", "FLOAT"), "wav", "float"),
    "wav double": (lambda: by_soundfile(bursts(22050), 22050, "WAV", "DOUBLE"), "wav", "double"),
    "wav extensible": (
        lambda: by_soundfile(bursts(48000, channels=6), 48000, "WAVEX", "PCM_24"),
        "wav",
        "pcm_24",
    ),
    "wav 64": (lambda: by_soundfile(bursts(16000), 16000, "RF64", "PCM_16"), "wav", "pcm_16"),
    "wav streamed": (
        lambda: by_ffmpeg(bursts(16000), 16000, "wav", "pcm_s16le", piped=True),
        "wav",
        "pcm_16",
    ),
    "flac 16": (lambda: by_soundfile(bursts(48000), 48000, "FLAC", "PCM_16"), "flac", "pcm_16"),
    "flac 24": (lambda: by_soundfile(bursts(192000), 192000, "FLAC", "PCM_24"), "flac", "pcm_24"),
    "flac streamed": (
        lambda: by_ffmpeg(bursts(48000), 48000, "flac", "flac", piped=True),
        "flac",
        "pcm_16",
    ),
    "alac m4a": (lambda: by_ffmpeg(bursts(48000), 48000, "ipod", "alac"), "mp4", "alac"),
    "stereo": (
        lambda: by_soundfile(bursts(44100, channels=2), 44100, "WAV", "PCM_16"),
        "wav",
        "pcm_16",
    ),
}

LOSSY: dict[str, tuple[Callable[[], bytes], str, str, float]] = {
    "wav 8": (lambda: by_soundfile(bursts(8000), 8000, "WAV", "PCM_U8"), "wav", "pcm_u8", 0.0),
    "wav mu-law": (lambda: by_soundfile(bursts(8000), 8000, "WAV", "ULAW"), "wav", "ulaw", 0.0),
    "wav a-law": (lambda: by_soundfile(bursts(8000), 8000, "WAV", "ALAW"), "wav", "alaw", 0.0),
    "wav adpcm": (
        lambda: by_soundfile(bursts(16000), 16000, "WAV", "IMA_ADPCM"),
        "wav",
        "ima_adpcm",
        0.0,
    ),
    "ogg vorbis": (lambda: by_soundfile(bursts(44100), 44100, "OGG", "VORBIS"), "ogg", "vorbis", 0),
    "ogg opus": (lambda: by_soundfile(bursts(48000), 48000, "OGG", "OPUS"), "ogg", "opus", 0.0),
    "ogg opus of a browser": (
        lambda: by_ffmpeg(bursts(48000), 48000, "ogg", "libopus", piped=True),
        "ogg",
        "opus",
        0.0,
    ),
    "mp3": (
        lambda: by_soundfile(bursts(44100), 44100, "MP3", "MPEG_LAYER_III"),
        "mp3",
        "mpeg_layer_iii",
        0.0,
    ),
    "mp3 at 16 kHz": (
        lambda: by_ffmpeg(bursts(16000), 16000, "mp3", "libmp3lame"),
        "mp3",
        "mpeg_layer_iii",
        0.0,
    ),
    "m4a": (lambda: by_ffmpeg(bursts(44100), 44100, "ipod", "aac"), "mp4", "aac", 0.0),
    "m4a stereo at 16 kHz": (
        lambda: by_ffmpeg(bursts(16000, channels=2), 16000, "ipod", "aac"),
        "mp4",
        "aac",
        0.0,
    ),
    "mp4 in fragments": (
        lambda: by_ffmpeg(bursts(48000), 48000, "mp4", "aac", options=FRAGMENTS),
        "mp4",
        "aac",
        AAC_DELAY / 48000,
    ),
    "mov": (lambda: by_ffmpeg(bursts(48000), 48000, "mov", "aac"), "mp4", "aac", 0.0),
    "aac": (
        lambda: by_ffmpeg(bursts(16000), 16000, "adts", "aac"),
        "aac",
        "aac",
        AAC_DELAY / 16000,
    ),
    "webm": (lambda: by_ffmpeg(bursts(48000), 48000, "webm", "libopus"), "webm", "opus", 0.0),
    "webm of a browser": (lambda: browser_webm(bursts(48000)), "webm", "opus", 0.0),
    "mp4 with opus": (
        lambda: by_ffmpeg(bursts(48000), 48000, "mp4", "libopus"),
        "mp4",
        "opus",
        0.0,
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_lossless_file_gives_the_samples_that_went_in(name: str) -> None:
    make, container, codec = EXACT[name]
    recording = Recording.from_bytes(make())
    assert (recording.source.container, recording.source.codec) == (container, codec)
    expected = soxr.resample(
        bursts(recording.source.sample_rate)[:, 0], recording.source.sample_rate, SAMPLE_RATE_HZ
    )
    assert recording.samples.shape == expected.shape
    # 16 bits round to 2**-16; the channels of a stereo file are the same here.
    np.testing.assert_allclose(recording.samples, expected, atol=1e-4)
    assert recording.sample_rate == SAMPLE_RATE_HZ
    assert recording.samples.dtype == np.float32


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_file_gives_the_sound_at_its_time_and_level(name: str) -> None:
    make, container, codec, delay_s = LOSSY[name]
    recording = Recording.from_bytes(make())
    assert (recording.source.container, recording.source.codec) == (container, codec)
    # A codec's last frame may be padded, its first may be declared as delay: 64 ms at 16 kHz.
    assert recording.duration == pytest.approx(2.0 + delay_s, abs=0.066)
    assert burst_time(recording.samples, SAMPLE_RATE_HZ) == pytest.approx(
        CENTRE_S + delay_s, abs=0.002
    )
    assert recording.peak_dbfs == pytest.approx(-6.0, abs=2.0)


def test_every_kind_that_is_promised_is_tested() -> None:
    containers = {case[1] for case in EXACT.values()} | {case[1] for case in LOSSY.values()}
    assert containers == {"wav", "flac", "ogg", "mp3", "aac", "mp4", "webm"}


def test_old_phones_amr_in_3gp_is_read() -> None:
    recording = Recording.from_bytes(by_ffmpeg(bursts(8000), 8000, "3gp", "libopencore_amrnb"))
    assert recording.source.codec == "amrnb"
    assert burst_time(recording.samples, SAMPLE_RATE_HZ) == pytest.approx(CENTRE_S, abs=0.02)


def test_an_mp3_without_a_length_header_is_read() -> None:
    options = {"write_xing": "0"}
    mp3 = by_ffmpeg(bursts(44100), 44100, "mp3", "libmp3lame", options=options)
    assert b"Info" not in mp3[:200]
    assert Recording.from_bytes(mp3).duration == pytest.approx(2.0, abs=0.08)


def test_tags_before_and_after_the_sound_are_passed_over() -> None:
    mp3 = by_soundfile(bursts(44100), 44100, "MP3", "MPEG_LAYER_III")
    flac = by_soundfile(bursts(16000), 16000, "FLAC", "PCM_16")
    id3 = b"ID3\x04\x00\x00\x00\x00\x02\x00" + b"TIT2" + bytes(252)
    plain = Recording.from_bytes(mp3)
    tagged = Recording.from_bytes(id3 + mp3 + b"TAG" + bytes(125))
    assert tagged.duration == pytest.approx(plain.duration, abs=0.03)
    assert Recording.from_bytes(id3 + flac).duration == pytest.approx(2.0)


def test_the_sound_of_a_film_is_taken_and_its_picture_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures: list[object] = []
    av_open = av.open

    def watched(*args: Any, **kwargs: Any) -> Any:
        container = av_open(*args, **kwargs)
        # FFmpeg learns a picture's pixel format by decoding the first of them.
        pictures.extend(stream.pix_fmt for stream in container.streams.video)
        return container

    monkeypatch.setattr("analysis.decoding.av.open", watched)
    recording = Recording.from_bytes(film(bursts(48000)))
    assert recording.source.codec == "aac"
    assert recording.duration == pytest.approx(2.0, abs=0.03)
    assert pictures == [None]
