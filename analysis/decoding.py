"""Decoders: a sound file's bytes to blocks of samples, by libsndfile or by FFmpeg.

Which of the two is decided by the container alone, and FFmpeg is told which demuxer and which
codecs it may use: left to guess, it would also try playlists, pictures and two hundred formats that
no recorder writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from itertools import chain
from typing import Any, Final, Protocol

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from analysis.containers import MAX_PIECES, Container, check_complete, identify
from analysis.errors import AudioError

BLOCK_FRAMES: Final = 16_384
"""About a second at a microphone's rate: bounds memory whatever the file expands to."""
UNKNOWN_FRAMES: Final = 2**62
"""libsndfile gives 2**63 - 1 for a FLAC stream that was written without its length."""
FFMPEG_DEMUXERS: Final[dict[Container, str]] = {"mp4": "mov", "webm": "matroska", "aac": "aac"}
FFMPEG_CODECS: Final = "aac,alac,opus,vorbis,flac,mp3float,amrnb,amrwb"


class BlockReader(Protocol):
    """An open sound file: its format, then its samples, once.

    `declared_frames` is the length by the file's own header, where it has one.
    """

    codec: str
    channels: int
    sample_rate: int
    decoder: str
    container: Container
    declared_frames: int | None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield samples, shape (n, channels), nominally in [-1, 1]."""


def open_blocks(data: bytes) -> AbstractContextManager[BlockReader]:
    """Open a sound file for reading, by its contents.

    Raises
    ------
    AudioError
        Not audio, not taken, cut short or damaged; here, or while the blocks are read.
    """
    container = identify(data)
    check_complete(container, data)
    if container in FFMPEG_DEMUXERS:
        return _open_ffmpeg(data, container)
    return _open_libsndfile(data, container)


class _ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A sound file that is read once from start to end.

    soundfile seeks after every read, which a FLAC stream of unknown length refuses, and which
    makes a decoder start anew at each block.
    """

    def seekable(self) -> bool:
        """Return False, so that it does not."""
        return False


class _LibsndfileReader:
    decoder = "libsndfile"

    def __init__(
        self, file: _ForwardSoundFile, source: BytesIO, size: int, container: Container
    ) -> None:
        self._file = file
        self._source = source
        self._size = size
        self.container: Container = container
        self.codec = str(file.subtype).lower()
        self.channels = int(file.channels)
        self.sample_rate = int(file.samplerate)
        # An MP3 of constant bitrate has no count: mpg123 then guesses, up to 2 % too many.
        counted = container != "mp3" and file.frames < UNKNOWN_FRAMES
        self.declared_frames = int(file.frames) if counted else None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        decoded = 0
        fault = ""
        while True:
            try:
                block = self._file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                fault = _reason(error)
                break
            if block.shape[0] == 0:
                break
            decoded += block.shape[0]
            yield block
        missing = self.declared_frames is not None and decoded < self.declared_frames
        if not fault and not missing:
            return
        seconds = decoded / self.sample_rate
        if self._source.tell() >= self._size:
            raise AudioError(
                "audio_truncated",
                f"The audio is cut short or damaged after {seconds:.2f} s: upload it again.",
            )
        raise AudioError("audio_invalid", f"The audio is damaged after {seconds:.2f} s: {fault}.")


@contextmanager
def _open_libsndfile(data: bytes, container: Container) -> Iterator[_LibsndfileReader]:
    source = BytesIO(data)
    try:
        file = _ForwardSoundFile(source)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            "audio_invalid", f"The {container} file cannot be opened: {_reason(error)}."
        ) from error
    with file:
        yield _LibsndfileReader(file, source, len(data), container)


class _FfmpegReader:
    decoder = "ffmpeg"
    # The containers' durations are rounded, absent or 0 (a browser's WebM): only decoding tells.
    declared_frames: int | None = None

    def __init__(self, file: Any, container: Container) -> None:
        self.container: Container = container
        self._frames = self._decode(file)
        first = next(self._frames, None)
        if first is None:
            raise AudioError("audio_empty", f"The {container} file's audio track has no samples.")
        # From the first frame and not from the header: HE-AAC doubles the header's rate.
        self.codec = str(file.streams.audio[0].codec_context.name)
        self.channels = int(first.layout.nb_channels)
        self.sample_rate = int(first.sample_rate)
        self._frames = chain([first], self._frames)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        waiting: list[NDArray[np.float32]] = []  # a frame has 20 ms: too little for numpy's calls
        frames = 0
        for frame in self._frames:
            if (frame.layout.nb_channels, frame.sample_rate) != (self.channels, self.sample_rate):
                raise AudioError(
                    "audio_unsupported",
                    f"The audio changes from {self.channels} channels at {self.sample_rate} Hz "
                    f"to {frame.layout.nb_channels} at {frame.sample_rate} Hz on its way.",
                )
            waiting.append(_samples(frame))
            frames += frame.samples
            if frames >= BLOCK_FRAMES:
                yield np.concatenate(waiting)
                waiting, frames = [], 0
        if waiting:
            yield np.concatenate(waiting)

    def _decode(self, file: Any) -> Iterator[Any]:
        decoded = packets = 0
        rate = 1
        try:
            for packet in file.demux(file.streams.audio[0]):
                packets += 1
                # Not by the container's own count: one WebM block may hold 256 packets.
                if packets > MAX_PIECES:
                    raise AudioError(
                        "audio_invalid", f"The audio has more than {MAX_PIECES:,} packets."
                    )
                for frame in packet.decode():
                    decoded, rate = decoded + frame.samples, frame.sample_rate
                    yield frame
        except av.error.FFmpegError as error:
            raise AudioError(
                "audio_invalid",
                f"The audio is damaged after {decoded / rate:.2f} s: {error.strerror}.",
            ) from error


@contextmanager
def _open_ffmpeg(data: bytes, container: Container) -> Iterator[_FfmpegReader]:
    try:
        file = av.open(
            BytesIO(data),
            mode="r",
            format=FFMPEG_DEMUXERS[container],
            options={"codec_whitelist": FFMPEG_CODECS},
            metadata_errors="ignore",
        )
    except av.error.FFmpegError as error:
        raise AudioError(
            "audio_invalid", f"The {container} file cannot be opened: {error.strerror}."
        ) from error
    with file:
        if not file.streams.audio:
            raise AudioError("audio_invalid", f"The {container} file has no audio track.")
        codec = file.streams.audio[0].codec_context
        if codec is None or codec.name not in FFMPEG_CODECS.split(","):
            name = "unknown" if codec is None else codec.name
            raise AudioError(
                "audio_unsupported",
                f"The {container} file's audio is of the codec {name}, which is not taken: "
                "record AAC or Opus.",
            )
        yield _FfmpegReader(file, container)


def _samples(frame: Any) -> NDArray[np.float32]:
    """Return a decoded frame's samples as floats, shape (n, channels)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples.astype(np.float32) / (np.iinfo(samples.dtype).max + 1.0)
    return np.ascontiguousarray(samples.T, dtype=np.float32)


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).strip().removeprefix("Error : ").rstrip(".")
