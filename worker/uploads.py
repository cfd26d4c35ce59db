"""A recording on its way into S3: checked, made smaller where nothing is lost by it, and hashed."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.locations import S3Location

if TYPE_CHECKING:
    from analysis.audio import AudioLimits, Recording

LEAST_SAVING: Final = 0.1
"""FLAC is used when it saves this share at least; below that the file stays as it came."""

_FLAC_SUBTYPES: Final = {
    "PCM_U8": "PCM_S8",
    "PCM_16": "PCM_16",
    "PCM_24": "PCM_24",
}
"""Integer samples that FLAC holds exactly, by libsndfile's names; floats it does not."""

_SHRINKABLE: Final = frozenset({"WAV", "WAVEX", "RF64"})

_FORMATS: Final = {
    b"RIFF": ("wav", "audio/wav"),
    b"RF64": ("wav", "audio/wav"),
    b"fLaC": ("flac", "audio/flac"),
    b"OggS": ("ogg", "audio/ogg"),
    b"\x1aE\xdf\xa3": ("webm", "audio/webm"),
}


@dataclass(frozen=True)
class Upload:
    """A recording ready to be put.

    Attributes
    ----------
    data
        The bytes to put.
    extension, content_type
        What they are.
    sha256
        Of `data`, in hex.
    source_bytes, source_sha256
        Of what was handed in.
    duration_s
        As the worker will hear it.
    warnings
        What a listener would complain about, as sentences.
    """

    data: bytes
    extension: str
    content_type: str
    sha256: str
    source_bytes: int
    source_sha256: str
    duration_s: float
    warnings: tuple[str, ...]

    @property
    def is_shrunk(self) -> bool:
        """Whether the bytes are not those that were handed in."""
        return self.sha256 != self.source_sha256

    def arguments(self, location: S3Location) -> dict[str, Any]:
        """The arguments of PutObject; S3 checks the hash on arrival and keeps it."""
        return {
            "Bucket": location.bucket,
            "Key": location.key,
            "Body": self.data,
            "ContentType": self.content_type,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(self.sha256)).decode(),
            "Metadata": {"sha256": self.sha256, "source-sha256": self.source_sha256},
        }


def prepare(source: bytes | Path, *, limits: AudioLimits | None = None) -> Upload:
    """Check a recording with the worker's own decoder, and shrink it if that is exact.

    Parameters
    ----------
    source
        A sound file's bytes, or its path.
    limits
        What the worker refuses; its defaults unless given.

    Raises
    ------
    analysis.AnalysisError
        The worker would refuse it; the code says why.
    OSError
        The path cannot be read.
    """
    from analysis.audio import AudioLimits, Recording

    limits = limits or AudioLimits()
    if isinstance(source, Path):
        with source.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    else:
        data = bytes(source)
    recording = Recording.from_bytes(data, limits=limits)
    smaller = _as_flac(data, recording, limits)
    chosen = data if smaller is None else smaller
    extension, content_type = _format_of(chosen)
    return Upload(
        data=chosen,
        extension=extension,
        content_type=content_type,
        sha256=hashlib.sha256(chosen).hexdigest(),
        source_bytes=len(data),
        source_sha256=hashlib.sha256(data).hexdigest(),
        duration_s=recording.duration,
        warnings=tuple(warning.message for warning in recording.warnings),
    )


def _as_flac(data: bytes, recording: Recording, limits: AudioLimits) -> bytes | None:
    """The same samples as FLAC; None where that is not exact, not possible or not worth it."""
    import numpy as np
    import soundfile

    from analysis.audio import Recording
    from analysis.errors import AnalysisError

    packed = io.BytesIO()
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            subtype = _FLAC_SUBTYPES.get(file.subtype)
            if file.format not in _SHRINKABLE or subtype is None:
                return None
            rate = file.samplerate
            samples = file.read(dtype="int32", always_2d=True)
        soundfile.write(packed, samples, rate, format="FLAC", subtype=subtype)
        smaller = packed.getvalue()
        if len(smaller) > len(data) * (1 - LEAST_SAVING):
            return None
        # The proof is what the worker hears: sample for sample the same.
        again = Recording.from_bytes(smaller, limits=limits)
    except (soundfile.LibsndfileError, AnalysisError, ValueError):
        return None
    return smaller if np.array_equal(again.samples, recording.samples) else None


def _format_of(data: bytes) -> tuple[str, str]:
    """Extension and content type by the first bytes; a name for people, nobody relies on it."""
    if data[4:8] == b"ftyp":
        return "m4a", "audio/mp4"
    if data[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2") or data[:3] == b"ID3":
        return "mp3", "audio/mpeg"
    return _FORMATS.get(data[:4], ("audio", "application/octet-stream"))
