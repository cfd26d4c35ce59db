"""Bytes of a sound file to a `Recording`: mono, 16 kHz, within limits, with what was noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
import soxr
from numpy.typing import NDArray

from analysis.decoding import BlockReader, open_blocks
from analysis.errors import AudioError
from analysis.features import log_mel

SAMPLE_RATE_HZ: Final = 16_000
CLIPPED_LEVEL: Final = 0.985
"""A sample at or above this share of full scale (−0.13 dBFS) counts as clipped."""
CLIPPED_SHARE: Final = 0.001
"""Speech that was not clipped reaches full scale in far fewer samples than one in 1,000."""
SILENCE_PEAK_DBFS: Final = -65.0
LOW_PEAK_DBFS: Final = -40.0
VERY_SHORT_S: Final = 0.3
"""Shorter than any one-word line."""
OVER_RANGE: Final = 1.5
"""Lossy codecs overshoot full scale by less; beyond it a writer forgot to scale its floats."""
CANCELLED_SHARE: Final = 0.01
"""Channels that lose 20 dB when they are averaged are the same sound with opposite sign."""


@dataclass(frozen=True)
class AudioLimits:
    """What is refused; seconds are decoded seconds, counted while decoding."""

    max_bytes: int = 25 * 2**20
    max_seconds: float = 120.0
    max_channels: int = 8
    min_sample_rate_hz: int = 4_000
    max_sample_rate_hz: int = 192_000


@dataclass(frozen=True)
class AudioWarning:
    """Something about the recording that its speaker should know; it was scored nevertheless."""

    code: Literal["clipping", "low_level", "very_short", "over_range", "channels_cancel"]
    message: str


@dataclass(frozen=True)
class SourceFormat:
    """What the bytes were before they became a `Recording`."""

    container: str
    codec: str
    channels: int
    sample_rate: int
    decoder: str


@dataclass(frozen=True, eq=False)
class Recording:
    """Mono speech at 16 kHz.

    Attributes
    ----------
    samples : float32 (n,)
        In [-1, 1]; n is at least 1; read-only.
    sample_rate : int
        `SAMPLE_RATE_HZ`, always.
    source : SourceFormat
        What it was decoded from.
    warnings : tuple of AudioWarning
        What a listener would complain about.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    source: SourceFormat
    warnings: tuple[AudioWarning, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes, *, limits: AudioLimits | None = None) -> Self:
        """Decode a sound file; its name does not matter, its first bytes do.

        Raises
        ------
        AudioError
            The recording cannot be used; the code says why (see docs/inputs.md).
        """
        limits = limits or AudioLimits()
        if not data:
            raise AudioError("audio_empty", "The audio has no bytes: the upload was empty.")
        if len(data) > limits.max_bytes:
            raise AudioError(
                "audio_too_large",
                f"The audio has more than {limits.max_bytes:,} bytes, the limit.",
            )
        return cls._heard(lambda channel: _decode(data, limits, channel=channel))

    @classmethod
    def from_file(cls, path: str | Path, *, limits: AudioLimits | None = None) -> Self:
        """Decode the sound file at `path`; see `from_bytes`. An unreadable path is an OSError."""
        limits = limits or AudioLimits()
        with Path(path).open("rb") as file:
            # One byte more than the limit is enough to refuse, whatever the file's size.
            return cls.from_bytes(file.read(limits.max_bytes + 1), limits=limits)

    @classmethod
    def from_samples(cls, samples: NDArray[np.floating], sample_rate: int) -> Self:
        """Make a recording of samples, shape (n,) or (n, channels), in [-1, 1] at any rate."""
        block = np.asarray(samples, dtype=np.float32)
        block = block[:, np.newaxis] if block.ndim == 1 else block
        source = SourceFormat("memory", "float32", block.shape[1], sample_rate, "none")

        def mix(channel: int | None) -> _Decoded:
            mono = _MonoStream(sample_rate, block.shape[1], channel=channel)
            mono.add(block)
            return mono.finish(source)

        return cls._heard(mix)

    @classmethod
    def _heard(cls, mix: Callable[[int | None], _Decoded]) -> Self:
        """Mix all channels (None), or one alone where they cancel each other."""
        decoded = mix(None)
        warnings = list(decoded.warnings)
        if decoded.cancelled_channel is not None:
            channel = decoded.cancelled_channel
            decoded = mix(channel)
            warnings.append(
                AudioWarning(
                    "channels_cancel",
                    "The channels cancel each other (one is inverted); "
                    f"only channel {channel + 1} was used.",
                )
            )
        return cls._checked(decoded.samples, decoded.source, warnings)

    @classmethod
    def _checked(
        cls, samples: NDArray[np.float32], source: SourceFormat, warnings: list[AudioWarning]
    ) -> Self:
        samples.setflags(write=False)
        recording = cls(samples, SAMPLE_RATE_HZ, source)
        if recording.duration < VERY_SHORT_S:
            warnings.append(
                AudioWarning(
                    "very_short",
                    f"The recording lasts {recording.duration:.2f} s, less than a word.",
                )
            )
        if recording.is_silent:
            warnings.append(
                AudioWarning(
                    "low_level",
                    "The recording is silent: check that the microphone is on and allowed.",
                )
            )
        elif recording.peak_dbfs < LOW_PEAK_DBFS:
            warnings.append(
                AudioWarning(
                    "low_level",
                    f"The loudest sample is at {recording.peak_dbfs:.0f} dBFS: "
                    "move closer to the microphone or raise its level.",
                )
            )
        return cls(samples, SAMPLE_RATE_HZ, source, tuple(warnings))

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples.size / self.sample_rate

    @cached_property
    def log_mel(self) -> NDArray[np.float32]:
        """What the phone network sees of it; computed once, for placing and for judging."""
        mel = log_mel(self.samples)
        mel.setflags(write=False)
        return mel

    @property
    def peak_dbfs(self) -> float:
        """Level of the loudest sample in dB of full scale; -inf for digital silence."""
        return _dbfs(float(np.max(np.abs(self.samples))))

    @property
    def rms_dbfs(self) -> float:
        """Root mean square level in dB of full scale; -inf for digital silence."""
        return _dbfs(float(np.sqrt(np.mean(np.square(self.samples, dtype=np.float64)))))

    @property
    def is_silent(self) -> bool:
        """True when no sample reaches -65 dBFS, the floor of a quiet microphone."""
        return self.peak_dbfs < SILENCE_PEAK_DBFS


@dataclass(frozen=True)
class _Decoded:
    samples: NDArray[np.float32]
    source: SourceFormat
    warnings: tuple[AudioWarning, ...]
    cancelled_channel: int | None


class _MonoStream:
    """Blocks of any rate and channel count in, one mono 16 kHz signal out.

    Only the resampled signal is kept (64 kB a second), never the decoded blocks.
    """

    def __init__(self, sample_rate: int, channels: int, *, channel: int | None = None) -> None:
        self._resampler = (
            None
            if sample_rate == SAMPLE_RATE_HZ
            else soxr.ResampleStream(sample_rate, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
        )
        self._channel = channel
        self._parts: list[NDArray[np.float32]] = []
        self._energies = np.zeros(channels)
        self._mono_energy = 0.0
        self._clipped = 0
        self._peak = 0.0
        self._frames = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in a block, shape (n, channels)."""
        if block.shape[0] == 0:
            return
        if not np.isfinite(block).all():
            raise AudioError(
                "audio_not_finite",
                "The audio holds NaN or infinite samples: export it again, as 16-bit for example.",
            )
        magnitude = np.abs(block)
        self._clipped += int(np.count_nonzero((magnitude >= CLIPPED_LEVEL).any(axis=1)))
        self._peak = max(self._peak, float(magnitude.max()))
        self._frames += block.shape[0]
        mono = block.mean(axis=1) if self._channel is None else block[:, self._channel].copy()
        self._energies += np.einsum("ij,ij->j", block, block, dtype=np.float64)
        # Not np.dot: BLAS would wake threads for it, which takes longer than the sum.
        self._mono_energy += float(np.einsum("i,i->", mono, mono, dtype=np.float64))
        self._parts.append(
            mono if self._resampler is None else self._resampler.resample_chunk(mono)
        )

    def finish(self, source: SourceFormat) -> _Decoded:
        """Flush the resampler and judge the whole."""
        if self._frames == 0:
            raise AudioError("audio_empty", f"The {source.container} file has no samples.")
        if self._resampler is not None:
            empty = np.empty(0, dtype=np.float32)
            self._parts.append(self._resampler.resample_chunk(empty, last=True))
        samples = np.concatenate(self._parts)
        if samples.size == 0:
            raise AudioError(
                "audio_empty",
                f"The {source.container} file has {self._frames} samples at "
                f"{source.sample_rate} Hz: less than one at {SAMPLE_RATE_HZ} Hz.",
            )
        peak = float(np.max(np.abs(samples)))
        if not np.isfinite(peak):
            raise AudioError(
                "audio_not_finite", "The audio's samples are too large to add up: export it again."
            )
        if peak > 1.0:
            samples = samples / np.float32(peak)
        return _Decoded(samples, source, tuple(self._level_warnings()), self._cancelled())

    def _level_warnings(self) -> Iterable[AudioWarning]:
        share = self._clipped / self._frames
        if self._peak > OVER_RANGE:
            yield AudioWarning(
                "over_range",
                f"The samples reach {self._peak:.4g} times full scale; they were scaled down.",
            )
        elif share >= CLIPPED_SHARE:
            yield AudioWarning(
                "clipping",
                f"{share:.1%} of the samples are at full scale: "
                "lower the level or move away from the microphone.",
            )

    def _cancelled(self) -> int | None:
        loudest = int(np.argmax(self._energies))
        if self._channel is None and self._mono_energy < CANCELLED_SHARE * self._energies[loudest]:
            return loudest
        return None


def _decode(data: bytes, limits: AudioLimits, *, channel: int | None) -> _Decoded:
    with open_blocks(data) as reader:
        _check_format(reader, limits)
        source = SourceFormat(
            reader.container, reader.codec, reader.channels, reader.sample_rate, reader.decoder
        )
        mono = _MonoStream(reader.sample_rate, reader.channels, channel=channel)
        frames = 0
        for block in reader.blocks():
            frames += block.shape[0]
            if frames > limits.max_seconds * reader.sample_rate:
                raise _too_long(limits)
            mono.add(block)
        return mono.finish(source)


def _check_format(reader: BlockReader, limits: AudioLimits) -> None:
    if not 1 <= reader.channels <= limits.max_channels:
        raise AudioError(
            "audio_unsupported",
            f"The audio has {reader.channels} channels; at most {limits.max_channels} are taken.",
        )
    if not limits.min_sample_rate_hz <= reader.sample_rate <= limits.max_sample_rate_hz:
        raise AudioError(
            "audio_unsupported",
            f"The audio's sample rate is {reader.sample_rate} Hz; "
            f"{limits.min_sample_rate_hz}–{limits.max_sample_rate_hz} Hz is taken.",
        )
    if (
        reader.declared_frames is not None
        and reader.declared_frames > limits.max_seconds * reader.sample_rate
    ):
        raise _too_long(limits)


def _too_long(limits: AudioLimits) -> AudioError:
    return AudioError(
        "audio_too_long", f"The audio lasts longer than {limits.max_seconds:g} s, the limit."
    )


def _dbfs(amplitude: float) -> float:
    return 20.0 * float(np.log10(amplitude)) if amplitude > 0.0 else float("-inf")
