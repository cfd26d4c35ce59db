"""Decoders: a sound file's bytes to blocks of samples, by libsndfile or by FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final, Protocol

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from analysis.errors import AudioError

BLOCK_FRAMES: Final = 16_384
"""One second at a usual microphone rate, a third of one at 48 kHz: bounds memory, not speed."""


class BlockReader(Protocol):
    """An open sound file."""

    container: str
    codec: str
    channels: int
    sample_rate: int
    decoder: str
    declared_frames: int | None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield samples, shape (n, channels), n no larger than a codec's frame or a block."""


class _SoundfileReader:
    decoder = "libsndfile"

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self.container = file.format.lower()
        self.codec = file.subtype.lower()
        self.channels = int(file.channels)
        self.sample_rate = int(file.samplerate)
        self.declared_frames: int | None = int(file.frames)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        decoded = 0
        while True:
            try:
                block = self._file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise AudioError("audio_invalid", f"The audio is damaged: {error}") from error
            if block.shape[0] == 0:
                break
            decoded += block.shape[0]
            yield block
        if self.declared_frames is not None and decoded < self.declared_frames:
            raise AudioError("audio_truncated", "The audio ends early: upload it again.")


class _PyavReader:
    decoder = "ffmpeg"

    def __init__(self, container: Any, stream: Any, name: str) -> None:
        self._container = container
        self._stream = stream
        self.container = name
        self.codec = str(stream.codec_context.name)
        self.channels = int(stream.codec_context.channels)
        self.sample_rate = int(stream.codec_context.sample_rate)
        self.declared_frames: int | None = None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        try:
            for frame in self._container.decode(self._stream):
                yield _to_float(frame)
        except av.error.FFmpegError as error:
            raise AudioError("audio_invalid", f"The audio is damaged: {error}") from error


def _to_float(frame: Any) -> NDArray[np.float32]:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples.astype(np.float32) / float(np.iinfo(samples.dtype).max + 1)
    return np.ascontiguousarray(samples.T, dtype=np.float32)


@contextmanager
def open_blocks(data: bytes) -> Iterator[BlockReader]:
    """Open a sound file by its first bytes."""
    name = (
        "mov"
        if data[4:8] == b"ftyp"
        else "matroska"
        if data[:4] == b"\x1a\x45\xdf\xa3"
        else "aac"
        if data[0] == 0xFF and len(data) > 1 and data[1] & 0xF6 == 0xF0
        else None
    )
    if name is None:
        try:
            with soundfile.SoundFile(BytesIO(data)) as file:
                yield _SoundfileReader(file)
        except soundfile.LibsndfileError as error:
            raise AudioError("audio_invalid", f"Not a sound file: {error}") from error
        return
    try:
        container = av.open(BytesIO(data), mode="r", format=name)
    except av.error.FFmpegError as error:
        raise AudioError("audio_invalid", f"Not a sound file: {error}") from error
    with container:
        if not container.streams.audio:
            raise AudioError("audio_invalid", "The file has no audio track.")
        yield _PyavReader(container, container.streams.audio[0], name)
