"""What the learner imitates: words, phones, times and pitch, from a TextGrid or from text alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from analysis.audio import Recording
from analysis.contour import PitchContour
from analysis.errors import ReferenceFormatError
from analysis.marks import is_silence, parse_arpabet, split_words, strip_punctuation
from analysis.textgrid_tiers import Interval, Tier, invalid, read_tiers

MAX_WORDS: Final = 1_000
"""120 s of the fastest speech is about 800 words."""
MAX_WORD_CHARS: Final = 64
MAX_TEXT_CHARS: Final = 20_000
FILM_TIME_S: Final = 120.0
"""No clip begins with so long a silence: the times then count from the start of the film."""


@dataclass(frozen=True)
class ReferencePhone:
    """A phone of the reference in time: ARPAbet without stress, stress digit, seconds."""

    phone: str
    stress: int | None
    start: float
    end: float


@dataclass(frozen=True)
class ReferenceWord:
    """A word of the line.

    Attributes
    ----------
    text : str
        As given, without the punctuation around it.
    start, end : float or None
        Seconds from the start of the clip; None when the reference is text alone.
    phones : tuple of ReferencePhone
        In time; empty when the reference has none for this word.
    pronunciation : tuple of str, or None
        ARPAbet with stress digits as given; None when the reference does not say it.
    """

    text: str
    start: float | None = None
    end: float | None = None
    phones: tuple[ReferencePhone, ...] = ()
    pronunciation: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    """The line to be imitated; times are seconds from the start of the clip.

    Attributes
    ----------
    words : tuple of ReferenceWord
        At least one.
    pitch : PitchContour or None
        The actor's F0.
    audio : Recording or None
        The actor's voice.
    duration : float or None
        Length of the clip in seconds; None when the reference is text alone.
    """

    words: tuple[ReferenceWord, ...]
    pitch: PitchContour | None = None
    audio: Recording | None = None
    duration: float | None = None

    @property
    def is_timed(self) -> bool:
        """True when every word has its time."""
        return all(word.start is not None for word in self.words)

    @classmethod
    def from_textgrid(
        cls,
        data: bytes,
        *,
        pitch: bytes | PitchContour | None = None,
        audio: Recording | bytes | None = None,
    ) -> Self:
        """Read a TextGrid with a tier of words and, if it has one, a tier of phones.

        A tier is known by its name, in any case and with a speaker before it: ``words``,
        ``Anna - words``. Phones belong to the word that holds their middle. A file that counts
        from the start of a film (``xmin`` above 0) is moved to 0, and the pitch with it if it
        counts in the same way.

        Raises
        ------
        ReferenceFormatError
            Code ``reference_invalid`` or ``pitch_invalid``.
        AudioError
            The reference audio cannot be used.
        """
        names, tiers = read_tiers(data, keep=lambda name: _tier_kind(name) is not None)
        words_tier = _pick(tiers, "words", names)
        phones_tier = _phones_beside(tiers, words_tier)
        origin = _origin(words_tier)
        words = _words(words_tier, phones_tier, origin)
        duration = words_tier.end - origin
        if isinstance(pitch, bytes):
            pitch = PitchContour.from_json(pitch)
        if pitch is not None:
            pitch = _in_clip_time(pitch, origin, duration)
        if isinstance(audio, bytes):
            audio = Recording.from_bytes(audio)
        return cls(words, pitch, audio, duration)

    @classmethod
    def from_text(cls, text: str, *, phones: Sequence[Sequence[str] | None] | None = None) -> Self:
        """Take the words of a line that has no times.

        Parameters
        ----------
        text : str
            The line; punctuation is dropped.
        phones : sequence of (sequence of str, or None), optional
            For each word its ARPAbet phones, stress digits allowed, or None for the dictionary's.

        Raises
        ------
        ReferenceFormatError
            Code ``reference_invalid``.
        """
        if len(text) > MAX_TEXT_CHARS:
            raise _text_invalid(f"has {len(text):,} characters; the limit is {MAX_TEXT_CHARS:,}")
        words = split_words(text)
        if not words:
            raise _text_invalid("has no words")
        _check_words(words, _text_invalid)
        given: Sequence[Sequence[str] | None] = [None] * len(words) if phones is None else phones
        if len(given) != len(words):
            raise _text_invalid(
                f"has {len(words)} words, but phones are given for {len(given)}: "
                "give one list (or None) for each word"
            )
        return cls(
            tuple(
                ReferenceWord(word, pronunciation=_given_pronunciation(word, marks))
                for word, marks in zip(words, given, strict=True)
            )
        )


def _tier_kind(name: str) -> str | None:
    """Return "words" or "phones" for a tier so named, with any speaker's prefix."""
    last = re.split(r"[\s_:/|-]+", name.strip().casefold())[-1]
    return {"words": "words", "word": "words", "phones": "phones", "phone": "phones"}.get(last)


def _speaker(name: str) -> str:
    return re.sub(r"[\s_:/|-]*(words?|phones?)$", "", name.strip().casefold())


def _pick(tiers: Sequence[Tier], kind: str, names: Sequence[str]) -> Tier:
    found = [tier for tier in tiers if _tier_kind(tier.name) == kind]
    spoken = [tier for tier in found if any(not is_silence(i.mark) for i in tier.intervals)]
    if not found:
        listed = ", ".join(f'"{name[:40]}"' for name in names[:10]) or "none at all"
        raise invalid(f'has no interval tier named "{kind}" (its interval tiers: {listed})')
    if not spoken:
        raise invalid(f'has no word in its tier "{found[0].name[:40]}"')
    if len(spoken) > 1:
        both = " and ".join(f'"{tier.name[:40]}"' for tier in spoken[:3])
        raise invalid(f"has words in {both}: a line has one speaker, keep one tier of words")
    return spoken[0]


def _phones_beside(tiers: Sequence[Tier], words_tier: Tier) -> Tier | None:
    found = [tier for tier in tiers if _tier_kind(tier.name) == "phones"]
    same = [tier for tier in found if _speaker(tier.name) == _speaker(words_tier.name)]
    if same:
        return same[0]
    return found[0] if len(found) == 1 else None


def _origin(tier: Tier) -> float:
    """Return where the clip begins in the file's own time, in seconds."""
    first = tier.intervals[0].start
    # A writer that sets no xmin leaves 0 before words that lie an hour into the film.
    return first if first - tier.start > FILM_TIME_S else tier.start


def _words(words: Tier, phones: Tier | None, origin: float) -> tuple[ReferenceWord, ...]:
    spoken = [
        (interval, text)
        for interval in words.intervals
        if not is_silence(interval.mark) and (text := strip_punctuation(interval.mark))
    ]
    if not spoken:
        raise invalid(f'has no word in its tier "{words.name[:40]}"')
    _check_words([text for _, text in spoken], invalid)
    inside: list[list[Interval]] = [[] for _ in spoken]
    at = 0
    for phone in phones.intervals if phones else ():
        middle = (phone.start + phone.end) / 2
        while at < len(spoken) and spoken[at][0].end <= middle:
            at += 1
        if at < len(spoken) and spoken[at][0].start <= middle:
            inside[at].append(phone)
    return tuple(
        _word(interval, text, marks, origin)
        for (interval, text), marks in zip(spoken, inside, strict=True)
    )


def _word(interval: Interval, text: str, marks: Sequence[Interval], origin: float) -> ReferenceWord:
    word = ReferenceWord(text, _clip_time(interval.start, origin), _clip_time(interval.end, origin))
    parsed = [(mark, parse_arpabet(mark.mark)) for mark in marks if not is_silence(mark.mark)]
    known = [(mark, pair) for mark, pair in parsed if pair is not None]
    # "spn" (an unknown word) or another alphabet: the dictionary is then the better source.
    if not known or len(known) < len(parsed) or any(mark.mark.lower() == "spn" for mark in marks):
        return word
    timed = tuple(
        ReferencePhone(
            phone,
            stress,
            _clip_time(max(mark.start, interval.start), origin),
            _clip_time(min(mark.end, interval.end), origin),
        )
        for mark, (phone, stress) in known
    )
    said = tuple(phone if stress is None else f"{phone}{stress}" for _, (phone, stress) in known)
    return replace(word, phones=timed, pronunciation=said)


def _clip_time(seconds: float, origin: float) -> float:
    return round(seconds - origin, 5)


def _given_pronunciation(word: str, marks: Sequence[str] | None) -> tuple[str, ...] | None:
    if marks is None:
        return None
    said = []
    for mark in marks:
        pair = parse_arpabet(mark)
        if pair is None:
            raise _text_invalid(f'has a phone "{mark[:20]}" for "{word}" that is not ARPAbet')
        phone, stress = pair
        said.append(phone if stress is None else f"{phone}{stress}")
    if not said:
        raise _text_invalid(f'has no phones for "{word}": give None for the dictionary\'s')
    return tuple(said)


def _check_words(words: Sequence[str], error: object) -> None:
    raiser = invalid if error is invalid else _text_invalid
    if len(words) > MAX_WORDS:
        raise raiser(f"has {len(words):,} words; the limit is {MAX_WORDS:,}")
    for word in words:
        if len(word) > MAX_WORD_CHARS:
            raise raiser(
                f'has a word of {len(word):,} characters ("{word[:20]}…"); '
                f"the limit is {MAX_WORD_CHARS}"
            )


def _in_clip_time(pitch: PitchContour, origin: float, duration: float) -> PitchContour:
    """Move a contour that counts from the start of the film; refuse one of another clip."""
    moved = pitch.shifted(-origin)
    inside, inside_moved = (
        int(((contour.times >= -pitch.step_s) & (contour.times <= duration + pitch.step_s)).sum())
        for contour in (pitch, moved)
    )
    begins_with_grid = bool(pitch.times[0] >= origin - pitch.step_s)
    chosen = moved if (inside_moved, begins_with_grid) > (inside, False) else pitch
    if max(inside, inside_moved) == 0:
        raise ReferenceFormatError(
            "pitch_invalid",
            f"pitch.json covers {pitch.times[0]:g}–{pitch.times[-1]:g} s and the TextGrid "
            f"{origin:g}–{origin + duration:g} s: they are not of the same clip.",
        )
    return chosen


def _text_invalid(what: str) -> ReferenceFormatError:
    return ReferenceFormatError("reference_invalid", f"The text {what}.")
