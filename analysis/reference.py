"""What the learner imitates: words, phones, times and pitch, from a TextGrid or from text alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self

import numpy as np

from analysis.audio import Recording
from analysis.contour import PitchContour
from analysis.errors import ReferenceFormatError
from analysis.film_time import clip_span, in_clip_time, with_lead_in
from analysis.marks import (
    is_silence,
    is_word,
    parse_arpabet,
    split_words,
    strip_punctuation,
    write_arpabet,
)
from analysis.phones import VOWELS
from analysis.reference_words import ReferencePhone, ReferenceWord
from analysis.textgrid_tiers import TIME_DIGITS, Interval, Tier, invalid, read_tiers

MAX_WORDS: Final = 1_000
"""120 s of the fastest speech is about 800 words."""
MAX_WORD_CHARS: Final = 64
MAX_TEXT_CHARS: Final = 20_000
UNKNOWN_WORD_PHONES: Final = frozenset(("spn",))
"""The Montreal Forced Aligner's only phone of a word that it does not know."""
SILENT_PHONES: Final = frozenset(("bcl", "dcl", "gcl", "pcl", "tcl", "kcl", "q"))
"""TIMIT's closures, each before the stop that it belongs to, and its glottal stop."""
SHORT_PHONES: Final = 2
"""Of a word that may do without a vowel: "Shh", "Hmm"."""
MAX_TIER_NAME_CHARS: Final = 200

_TIER_NAME = re.compile(r"(?:(?P<speaker>.*?)[\s_.:/|-]+)?(?P<kind>word|phone)s?")


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
        from the start of a film is moved to 0, and the pitch with it if it counts in the same
        way; see `analysis.film_time`. Audio that cannot be laid beside the words is left out.

        Raises
        ------
        ReferenceFormatError
            Code ``reference_invalid`` or ``pitch_invalid``; also when the pitch is of another
            clip, or cannot be laid beside words in film time.
        AudioError
            The reference audio cannot be used.
        """
        names, tiers = read_tiers(data, keep=lambda name: _tier_kind(name) is not None)
        words_tier = _words_tier(tiers, names)
        spoken = _spoken(words_tier, _phones_tier(tiers, beside=words_tier))
        if isinstance(pitch, bytes):
            pitch = PitchContour.from_json(pitch)
        if isinstance(audio, bytes):
            audio = Recording.from_bytes(audio)
        first, last = spoken[0].interval.start, spoken[-1].interval.end
        clip = clip_span(words_tier, first, last, pitch, audio)
        words = _words(spoken, clip.start)
        if not clip.is_said:
            clip, pitch, audio = with_lead_in(clip, words, pitch, audio)
            words = _words(spoken, clip.start)
        if pitch is not None:
            pitch = in_clip_time(pitch, clip, words)
        if audio is not None and _ends_before(audio, words):
            audio = None
        duration = _clip_time(clip.end, clip.start)
        return cls(words, pitch, audio, duration)

    @classmethod
    def from_text(cls, text: str, *, phones: Sequence[Sequence[str] | None] | None = None) -> Self:
        """Take the words of a line that has no times.

        Parameters
        ----------
        text : str
            The line; punctuation is dropped, and what stands in brackets unless that is all.
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
    """Return "words" or "phones" for a tier so named, with any speaker before it."""
    if len(name) > MAX_TIER_NAME_CHARS:
        return None
    match = _TIER_NAME.fullmatch(name.strip().casefold())
    return f"{match['kind']}s" if match else None


def _speaker(tier: Tier) -> str:
    match = _TIER_NAME.fullmatch(tier.name.strip().casefold())
    return match["speaker"] or "" if match else ""


def _words_tier(tiers: Sequence[Tier], names: Sequence[str]) -> Tier:
    found = [tier for tier in tiers if _tier_kind(tier.name) == "words"]
    if not found:
        listed = ", ".join(f'"{name[:40]}"' for name in names[:10]) or "none at all"
        raise invalid(f'has no interval tier named "words" (its interval tiers: {listed})')
    # A tier of nothing but "silence" is that of a speaker who says nothing, if another speaks.
    spoken = [tier for tier in found if any(_is_spoken(i.mark) for i in tier.intervals)] or [
        tier for tier in found if any(is_word(i.mark) for i in tier.intervals)
    ]
    if not spoken:
        raise invalid(f'has no word in its tier "{found[0].name[:40]}"')
    if len(spoken) > 1:
        several = " and ".join(f'"{tier.name[:40]}"' for tier in spoken[:3])
        raise invalid(f"has words in {several}: a line has one speaker, keep one tier of words")
    return spoken[0]


def _is_spoken(mark: str) -> bool:
    return is_word(mark) and not is_silence(mark)


def _has_named_pauses(words: Tier) -> bool:
    """Return True where "silence" and "noise" are the tier's only way to mark its pauses."""
    has_gaps = any(left.end < right.start for left, right in pairwise(words.intervals))
    return (
        not (has_gaps or words.has_blanks)
        and all(is_word(interval.mark) for interval in words.intervals)
        and any(_is_spoken(interval.mark) for interval in words.intervals)
    )


def _phones_tier(tiers: Sequence[Tier], *, beside: Tier) -> Tier | None:
    found = [tier for tier in tiers if _tier_kind(tier.name) == "phones"]
    same = [tier for tier in found if _speaker(tier) == _speaker(beside)]
    if same:
        return same[0]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class _Spoken:
    """A word of a tier, and the marks of the phones whose middle it holds."""

    interval: Interval
    text: str
    phones: tuple[Interval, ...]


def _spoken(words: Tier, phones: Tier | None) -> list[_Spoken]:
    held = [interval for interval in words.intervals if is_word(interval.mark)]
    inside: list[list[Interval]] = [[] for _ in held]
    at = 0
    for phone in phones.intervals if phones else ():
        if _is_silent_phone(phone.mark):
            continue
        middle = (phone.start + phone.end) / 2
        while at < len(held) and held[at].end <= middle:
            at += 1
        if at < len(held) and held[at].start <= middle:
            inside[at].append(phone)
    # "silence" may be said, or say that nobody speaks: the phones beside it tell, or else how the
    # tier marks its other pauses.
    are_pauses = any(inside) or _has_named_pauses(words)
    spoken = [
        _Spoken(interval, strip_punctuation(interval.mark), tuple(marks))
        for interval, marks in zip(held, inside, strict=True)
        if marks or not are_pauses or not is_silence(interval.mark)
    ]
    if not spoken:
        raise invalid(f'has no word in its tier "{words.name[:40]}"')
    _check_words([word.text for word in spoken], invalid)
    if not _is_arpabet(spoken):
        return [replace(word, phones=()) for word in spoken]
    return spoken


def _is_arpabet(spoken: Sequence[_Spoken]) -> bool:
    """Return False where most words have marks of another alphabet, or not a vowel of this one.

    SAMPA's "shut" (S V t) can be read as ARPAbet, as an "s" and a "v": the other words tell. A
    short word without a vowel ("Shh") is foreign only in a tier where some mark cannot be read.
    """
    read = [
        [parse_arpabet(mark.mark) for mark in word.phones if not is_silence(mark.mark)]
        for word in spoken
    ]
    counted = [phones for phones in read if phones]
    longest = 0 if any(None in phones for phones in counted) else SHORT_PHONES
    foreign = sum(
        None in phones
        or (
            len(phones) > longest
            and VOWELS.isdisjoint(phone for each in phones if each for phone, _ in each)
        )
        for phones in counted
    )
    return 2 * foreign <= len(counted)


def _is_silent_phone(mark: str) -> bool:
    mark = mark.strip().casefold()
    return mark in SILENT_PHONES or (mark not in UNKNOWN_WORD_PHONES and is_silence(mark))


def _words(spoken: Sequence[_Spoken], origin: float) -> tuple[ReferenceWord, ...]:
    return tuple(_word(word, origin) for word in spoken)


def _word(word: _Spoken, origin: float) -> ReferenceWord:
    interval = word.interval
    start, end = _clip_time(interval.start, origin), _clip_time(interval.end, origin)
    timed: list[ReferencePhone] = []
    for mark in word.phones:
        phones = parse_arpabet(mark.mark)
        if phones is None:
            # "spn" (a word unknown to the aligner) or another alphabet: the dictionary knows more.
            return ReferenceWord(word.text, start, end)
        # Phones that reach over the word's edge, as rounded boundaries do, end at it.
        begin, stop = max(mark.start, interval.start), min(mark.end, interval.end)
        edges = (
            [begin, stop]
            if len(phones) == 1
            else np.linspace(begin, stop, len(phones) + 1).tolist()
        )
        timed += [
            ReferencePhone(phone, stress, _clip_time(left, origin), _clip_time(right, origin))
            for (phone, stress), (left, right) in zip(phones, pairwise(edges), strict=True)
        ]
    said = tuple(write_arpabet(phone.phone, phone.stress) for phone in timed)
    return ReferenceWord(word.text, start, end, tuple(timed), said or None)


def _clip_time(seconds: float, origin: float) -> float:
    return round(seconds - origin, TIME_DIGITS)


def _given_pronunciation(word: str, marks: Sequence[str] | None) -> tuple[str, ...] | None:
    if marks is None:
        return None
    said: list[str] = []
    for mark in marks:
        phones = parse_arpabet(mark)
        if phones is None:
            raise _text_invalid(f'has a phone "{mark[:20]}" for "{word}" that is not ARPAbet')
        said += [write_arpabet(phone, stress) for phone, stress in phones]
    if not said:
        raise _text_invalid(f'has no phones for "{word}": give None for the dictionary\'s')
    return tuple(said)


def _check_words(words: Sequence[str], invalid: Callable[[str], ReferenceFormatError]) -> None:
    if len(words) > MAX_WORDS:
        raise invalid(f"has {len(words):,} words; the limit is {MAX_WORDS:,}")
    for word in words:
        if len(word) > MAX_WORD_CHARS:
            raise invalid(
                f'has a word of {len(word):,} characters ("{word[:20]}…"); '
                f"the limit is {MAX_WORD_CHARS}"
            )


def _ends_before(audio: Recording, words: Sequence[ReferenceWord]) -> bool:
    start = words[0].start
    return start is not None and start >= audio.duration


def _text_invalid(what: str) -> ReferenceFormatError:
    return ReferenceFormatError("reference_invalid", f"The text {what}.")
