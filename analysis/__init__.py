"""Scores spoken English against an actor's line or against its text: the library of the worker.

>>> from analysis import Recording, Reference, score                            # doctest: +SKIP
>>> recording = Recording.from_file("take-3.m4a")                               # doctest: +SKIP
>>> reference = Reference.from_textgrid(textgrid_bytes, pitch=pitch_json_bytes) # doctest: +SKIP
>>> score(recording, reference).scores.overall                                  # doctest: +SKIP
87.4

The names below are loaded when they are first used (PEP 562), so that ``import analysis`` costs
nothing and a program that only moves results about never loads Praat or PocketSphinx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.audio import AudioLimits, Recording
    from analysis.contour import PitchContour
    from analysis.errors import AnalysisError, AudioError, ReferenceFormatError
    from analysis.reference import Reference
    from analysis.result import AnalysisResult
    from analysis.scoring import Options, score, warm_up

__version__ = "0.1.0"

_HOME = {
    "AnalysisError": "analysis.errors",
    "AnalysisResult": "analysis.result",
    "AudioError": "analysis.errors",
    "AudioLimits": "analysis.audio",
    "Options": "analysis.scoring",
    "PitchContour": "analysis.contour",
    "Recording": "analysis.audio",
    "Reference": "analysis.reference",
    "ReferenceFormatError": "analysis.errors",
    "score": "analysis.scoring",
    "warm_up": "analysis.scoring",
}

__all__ = [
    "AnalysisError",
    "AnalysisResult",
    "AudioError",
    "AudioLimits",
    "Options",
    "PitchContour",
    "Recording",
    "Reference",
    "ReferenceFormatError",
    "__version__",
    "score",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in, once."""
    if name not in _HOME:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name the public members, loaded or not."""
    return sorted(set(globals()) | set(__all__))
