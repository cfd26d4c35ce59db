"""What the scorer says of a line: phones, words and utterance, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from analysis.insertion import Insertion

Profile = Literal["accurate", "fast"]
WordStatus = Literal["ok", "mispronounced", "omitted"]
Speech = Literal["ok", "no_speech", "wrong_text"]


@dataclass(frozen=True)
class PhoneAssessment:
    """One phone: where it lies (s), its score (0–100), and what was said in its place.

    `said` is given only when another phone fits the evidence clearly better, with the share
    of the evidence it holds, 0–1, as `said_confidence`.
    """

    phone: str
    start: float
    end: float
    score: float | None
    said: str | None = None
    said_confidence: float | None = None


@dataclass(frozen=True)
class WordAssessment:
    """One reference word; `score` is None when it could not be judged (see `Alignment.note`)."""

    index: int
    status: WordStatus
    score: float | None
    phones: tuple[PhoneAssessment, ...]


@dataclass(frozen=True)
class Assessment:
    """The line as a whole; scores 0–100, None where nothing can be said.

    `total` is the fitted blend of pronunciation, fluency and prosody that is the overall score
    when the reference is text alone, and `weights` are its shares. `insertions` is other speech
    between the words; only the network hears it.
    """

    words: tuple[WordAssessment, ...]
    pronunciation: float | None
    fluency: float | None
    prosody: float | None
    completeness: float | None
    total: float | None
    speech: Speech
    engine: dict[str, str]
    weights: dict[str, float] = field(default_factory=dict)
    insertions: tuple[Insertion, ...] = ()
