"""How fluently a line was spoken: rate, pauses and rhythm, measured on the alignment alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import VOWELS

if TYPE_CHECKING:
    from analysis.aligned import AlignedPhone, Alignment

# A gap that a listener hears as a pause; shorter ones are stop closures and seams between
# words (Goldman-Eisler 1968 and de Jong & Bosker 2013 put the border at 0.2–0.25 s).
PAUSE_S: Final = 0.2


@dataclass(frozen=True)
class Pause:
    """Silence between two words: where it begins and how long it lasts, in seconds."""

    after_word: int
    start: float
    duration: float


@dataclass(frozen=True)
class Fluency:
    """Measures of rate, pausing and rhythm; None where there is too little speech for one.

    Attributes
    ----------
    speech_rate : syllables a second from first to last word, pauses included.
    articulation_rate : syllables a second of speech, pauses left out.
    phonation_ratio : share of the time from first to last word that is speech, 0–1.
    pauses : the gaps between words of at least `PAUSE_S`.
    npvi_vowels : normalised pairwise variability of successive vowel durations,
        100 · mean |a − b| / ((a + b) / 2) (Grabe & Low 2002).
    percent_vowels : share of speech that is vowel, in percent (Ramus, Nespor & Mehler 1999).
    delta_consonants : standard deviation of the durations of consonant runs, s (same source).
    """

    syllables: int
    speech_rate: float | None
    articulation_rate: float | None
    phonation_ratio: float | None
    pauses: tuple[Pause, ...]
    npvi_vowels: float | None
    percent_vowels: float | None
    delta_consonants: float | None

    @property
    def pause_total(self) -> float:
        """Return the seconds of pause inside the line."""
        return sum(pause.duration for pause in self.pauses)

    @property
    def longest_pause(self) -> float:
        """Return the longest pause, in seconds; 0 when there is none."""
        return max((pause.duration for pause in self.pauses), default=0.0)


def measure_fluency(alignment: Alignment) -> Fluency:
    """Measure rate, pauses and rhythm over the words that were placed."""
    words = alignment.placed
    phones = [phone for word in words for phone in word.phones]
    vowels = [phone for phone in phones if phone.phone in VOWELS]
    pauses = tuple(
        Pause(before.index, before.end, round(after.start - before.end, 3))
        for before, after in itertools.pairwise(words)
        if after.start - before.end >= PAUSE_S
    )
    span = words[-1].end - words[0].start if words else 0.0
    silence = sum(pause.duration for pause in pauses)
    speech = sum(phone.end - phone.start for phone in phones)
    return Fluency(
        syllables=len(vowels),
        speech_rate=len(vowels) / span if span > 0 else None,
        articulation_rate=len(vowels) / (span - silence) if span > silence else None,
        phonation_ratio=1.0 - silence / span if span > 0 else None,
        pauses=pauses,
        npvi_vowels=npvi([vowel.end - vowel.start for vowel in vowels]),
        percent_vowels=100.0 * sum(v.end - v.start for v in vowels) / speech if speech else None,
        delta_consonants=_delta_consonants(phones),
    )


def npvi(durations: Sequence[float]) -> float | None:
    """Return the normalised pairwise variability index of durations (s); None below two."""
    if len(durations) < 2:
        return None
    a, b = np.asarray(durations[:-1]), np.asarray(durations[1:])
    return float(100.0 * np.mean(np.abs(a - b) / ((a + b) / 2.0)))


def _delta_consonants(phones: Sequence[AlignedPhone]) -> float | None:
    runs: list[float] = []
    before: AlignedPhone | None = None
    for phone in phones:
        if phone.phone not in VOWELS:
            joined = before is not None and before.phone not in VOWELS
            if joined and before is not None and phone.start - before.end < PAUSE_S:
                runs[-1] += phone.end - phone.start
            else:
                runs.append(phone.end - phone.start)
        before = phone
    return float(np.std(runs)) if len(runs) > 1 else None
