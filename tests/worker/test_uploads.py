"""Recordings on their way into S3: smaller only where the worker hears the very same."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import soundfile

from analysis.audio import Recording
from tests.worker.tones import encoded
from worker.uploads import prepare


@pytest.mark.parametrize(
    ("format_name", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_U8"),
        ("WAVEX", "PCM_16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_integer_samples_become_flac_and_sound_the_same_to_the_worker(
    format_name: str, subtype: str, channels: int
) -> None:
    data = encoded(format_name, subtype, channels=channels)
    upload = prepare(data)
    assert upload.is_shrunk
    assert (upload.extension, upload.content_type) == ("flac", "audio/flac")
    assert len(upload.data) < 0.9 * len(data)
    heard, sent = Recording.from_bytes(data), Recording.from_bytes(upload.data)
    assert np.array_equal(heard.samples, sent.samples)
    assert upload.duration_s == pytest.approx(2.0, abs=0.01)
    assert upload.source_sha256 == hashlib.sha256(data).hexdigest()
    assert upload.sha256 == hashlib.sha256(upload.data).hexdigest()


@pytest.mark.parametrize(
    ("format_name", "subtype", "extension"),
    [
        ("WAV", "FLOAT", "wav"),
        ("WAV", "PCM_32", "wav"),
        ("WAV", "ULAW", "wav"),
        ("FLAC", "PCM_16", "flac"),
        ("OGG", "VORBIS", "ogg"),
        ("MP3", "MPEG_LAYER_III", "mp3"),
    ],
)
def test_what_flac_cannot_hold_or_is_packed_already_stays_as_it_came(
    format_name: str, subtype: str, extension: str
) -> None:
    data = encoded(format_name, subtype)
    upload = prepare(data)
    assert not upload.is_shrunk
    assert upload.data == data
    assert upload.extension == extension


def test_noise_that_flac_does_not_shrink_stays_as_it_came() -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(-32768, 32767, 44_100, dtype=np.int16)
    soundfile.write(file, noise, 44_100, format="WAV", subtype="PCM_16")
    assert prepare(file.getvalue()).data == file.getvalue()
