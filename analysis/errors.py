"""What can be wrong with an input, as exceptions: one tree, a code each, safe to pickle.

AnalysisError
├── AudioError              stage "decode": the recording cannot be used
└── ReferenceFormatError    stage "decode": the TextGrid, pitch.json or text cannot be used
"""

from __future__ import annotations

from typing import Literal

Stage = Literal["decode", "analysis"]

AudioErrorCode = Literal[
    "audio_empty",  # no bytes, or a file without a single sample
    "audio_invalid",  # not audio, or damaged inside
    "audio_truncated",  # the file itself says that bytes are missing
    "audio_not_finite",  # NaN or infinite samples
    "audio_too_long",  # more decoded seconds than the limit
    "audio_too_large",  # more bytes than the limit
    "audio_unsupported",  # audio, but of a format, rate or channel count that is not taken
]
ReferenceErrorCode = Literal[
    "reference_invalid",  # TextGrid, text or phones
    "pitch_invalid",  # pitch.json
]


class AnalysisError(Exception):
    """An input that cannot be analysed, now or ever.

    Parameters
    ----------
    code : str
        Stable and machine-readable; see the literals above.
    message : str
        One sentence for a person: the thing, the value and what to do. ``str(error)`` is this.
    stage : "decode" or "analysis"
        Where it was found out.
    """

    def __init__(self, code: str, message: str, stage: Stage = "analysis") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stage = stage

    def __reduce__(self) -> tuple[type[AnalysisError], tuple[str, str, Stage]]:
        # Exception's own __reduce__ passes on ``args`` (the message alone), and unpickling in
        # another process would then fail with a TypeError in place of this error.
        return type(self), (self.code, self.message, self.stage)


class AudioError(AnalysisError):
    """A recording that cannot be decoded or is outside the limits."""

    def __init__(self, code: AudioErrorCode, message: str, stage: Stage = "decode") -> None:
        super().__init__(code, message, stage)


class ReferenceFormatError(AnalysisError):
    """A TextGrid, pitch.json or text that says nothing usable, or contradicts itself."""

    def __init__(self, code: ReferenceErrorCode, message: str, stage: Stage = "decode") -> None:
        super().__init__(code, message, stage)
