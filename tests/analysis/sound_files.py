"""Sound files of every kind a recorder writes, made for the tests; and what breaks them."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float32]
BURSTS_S = (0.5, 1.5)
BURST_LENGTH_S = 0.02
EBML_SEGMENT: Final = 0x18538067
EBML_CLUSTER: Final = 0x1F43B675
EBML_INFO: Final = 0x1549A966
EBML_DURATION: Final = 0x4489
EBML_SEEK_HEAD: Final = 0x114D9B74
EBML_CUES: Final = 0x1C53BB6B
EBML_VOID: Final = 0xEC


def bursts(rate: int, *, seconds: float = 2.0, channels: int = 1) -> Samples:
    """Two short tones in silence, so that a shift in time is seen; shape (n, channels)."""
    samples = np.zeros(round(seconds * rate), dtype=np.float32)
    time = np.arange(round(BURST_LENGTH_S * rate)) / rate
    burst = 0.5 * np.sin(2 * np.pi * 1000 * time) * np.hanning(time.size)
    for start in BURSTS_S:
        at = round(start * rate)
        samples[at : at + time.size] += burst.astype(np.float32)
    return np.repeat(samples[:, np.newaxis], channels, axis=1)


def burst_time(samples: Samples, rate: int) -> float:
    """Where the first burst is, in seconds: the middle of the energy of the first second."""
    energy = samples[:rate].astype(np.float64) ** 2
    return float(np.sum(energy * np.arange(energy.size)) / np.sum(energy) / rate)


def by_soundfile(samples: Samples, rate: int, kind: str, subtype: str) -> bytes:
    """Encode with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def silent_flac(path: Path, *, seconds: int) -> None:
    """Write silence block by block: 50 kB an hour."""
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(seconds):
            file.write(np.zeros(16000, dtype=np.int16))


class _Pipe(io.RawIOBase):
    """What a program that streams writes to: it can't go back to fill in sizes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self.data += chunk
        return len(chunk)


def by_ffmpeg(
    samples: Samples,
    rate: int,
    kind: str,
    codec: str,
    *,
    piped: bool = False,
    options: Mapping[str, str] | None = None,
) -> bytes:
    """Encode with FFmpeg: `kind` is its name of the container."""
    target = _Pipe() if piped else io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(target, "w", format=kind, options=dict(options or {})) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T), format="fltp", layout=layout
        )
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for packets in (stream.encode(frame), stream.encode(None)):
            container.mux(packets)
    return bytes(target.data) if isinstance(target, _Pipe) else target.getvalue()


def film(samples: Samples | None, rate: int = 48_000) -> bytes:
    """An MP4 with a black picture, and with AAC sound if samples are given."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        sound = None if samples is None else container.add_stream("aac", rate=rate, layout="mono")
        for _ in range(3):
            black = np.zeros((32, 32, 3), dtype=np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(picture.encode(None))
        if sound is not None and samples is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples.T), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return file.getvalue()


def browser_webm(samples: Samples, rate: int = 48_000) -> bytes:
    """Opus in WebM as a browser's MediaRecorder streams it.

    Segment and clusters have no size, there is no duration, no cues and no seek head.
    """
    streamed = by_ffmpeg(samples, rate, "webm", "libopus", piped=True, options={"live": "1"})
    data = bytearray()
    unknown = b"\x01" + b"\xff" * 7
    for name, head, body in _elements(streamed, 0):
        if name in {EBML_SEGMENT, EBML_CLUSTER}:
            data += head[:4] + unknown
        elif name == EBML_INFO:
            kept = b"".join(h + b for n, h, b in _elements(body, 0) if n != EBML_DURATION)
            data += head[:4] + b"\x01" + len(kept).to_bytes(7, "big") + kept
        elif name not in {EBML_SEEK_HEAD, EBML_CUES, EBML_VOID}:
            data += head + body
    return bytes(data)


def _elements(data: bytes, at: int) -> list[tuple[int, bytes, bytes]]:
    """EBML elements in their order; segment and cluster are opened, their bodies are empty."""
    found = []
    while at < len(data):
        start = at
        id_length = 9 - data[at].bit_length()
        name = int.from_bytes(data[at : at + id_length], "big")
        at += id_length
        size_length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + size_length], "big") & ((1 << 7 * size_length) - 1)
        at += size_length
        body = b"" if name in {EBML_SEGMENT, EBML_CLUSTER} else data[at : at + size]
        found.append((name, data[start:at], body))
        at += len(body)
    return found


def wav(
    body: bytes,
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    announced: int | None = None,
) -> bytes:
    """A WAV file with a header that says what it is told to."""
    frame = channels * bits // 8
    size = len(body) if announced is None else announced
    return (
        b"RIFF"
        + struct.pack("<I", min(36 + size, 2**32 - 1))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, tag, channels, rate, rate * frame % 2**32, frame, bits)
        + b"data"
        + struct.pack("<I", size)
        + body
    )


def without_length(flac: bytes) -> bytes:
    """The FLAC file as a streaming encoder writes it: STREAMINFO counts no samples."""
    data = bytearray(flac)
    streaminfo = data.index(b"fLaC") + 8
    data[streaminfo + 13] &= 0xF0
    data[streaminfo + 14 : streaminfo + 18] = bytes(4)
    return bytes(data)


def with_index_of(samples: int, mp4: bytes) -> bytes:
    """The MP4 file with an index (stsz) of that many one-byte samples."""
    at = mp4.index(b"stsz") + 4
    return mp4[:at] + struct.pack(">III", 0, 1, samples) + mp4[at + 12 :]
