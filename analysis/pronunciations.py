"""A word's phones: as the reference says, else from the CMU dictionary, else by its letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from analysis.letters import spell_out
from analysis.numerals import readings
from analysis.phones import VOWELS, normalise_phones

if TYPE_CHECKING:
    from analysis.reference_words import ReferenceWord

Source = Literal["reference", "dictionary", "letters"]

# More variants than this only let the aligner fit noise: the dictionary's longest lists are
# rare names.
MAX_VARIANTS: Final = 4
# A token longer than any English word is not looked up phone by phone.
MAX_WORD_LETTERS: Final = 45
_VOICELESS_STOPPERS: Final = frozenset(("F", "K", "P", "T", "TH"))
_SIBILANTS: Final = frozenset(("CH", "JH", "S", "SH", "Z", "ZH"))
# Hyphens part words before dots do: "U.S.-led".
_BREAKS: Final = (re.compile(r"[-_/,:;+\s]+"), re.compile(r"\.+"))
_INITIALS: Final = re.compile(r"[a-z](?:\.[a-z])+")
_STAMMER: Final = re.compile(r"((?:[a-z]+-)+)([a-z']+)")
_VOWEL_LETTERS: Final = frozenset("aeiou")
_OUTSIDE: Final = re.compile(r"^(?:(?![$£€]\d)[^\w'])+|(?:[^\w'%]|(?<!\d)%)+$")


@dataclass(frozen=True)
class Pronunciation:
    """The ways in which a word may be said, the likeliest first, and who says so."""

    variants: tuple[tuple[str, ...], ...]
    source: Source


def pronounce(word: ReferenceWord) -> Pronunciation | None:
    """Return the pronunciations of a reference word, or None if it cannot be read as English.

    The reference is the authority: its own ``pronunciation``, else the phones of its timed
    tier, since the learner is measured against that line as it was spoken. Only when it says
    nothing (or writes symbols that are not ARPAbet) is the dictionary asked, and only when the
    dictionary does not know the word are its letters read aloud by rule.
    """
    if word.pronunciation and (phones := normalise_phones(word.pronunciation)):
        return Pronunciation((phones,), "reference")
    if word.phones and (phones := normalise_phones(phone.phone for phone in word.phones)):
        return Pronunciation((phones,), "reference")
    return pronounce_text(word.text)


@lru_cache(maxsize=4096)
def pronounce_text(text: str) -> Pronunciation | None:
    """Return the pronunciations of a written word (``"It's"``, ``"well-known"``, ``"1984"``)."""
    token = normalise_word(text)
    if not token or len(token) > MAX_WORD_LETTERS:
        return None
    if _INITIALS.fullmatch(token):
        # Not as the dictionary has them: its "u.s" is more than one U.
        return _join_parts(token.split("."))
    # The last dot of "Ph.D." was taken for the end of the sentence.
    if variants := (_look_up(f"{token}.") if "." in token else ()) or _look_up(token):
        return Pronunciation(variants, "dictionary")
    if words := readings(token.strip("'")):
        return _read_words(words)
    if "&" in token:
        return _join([*_around_ampersands(token, is_capital=text == text.upper())])
    if stammered := _stammer(token):
        return stammered
    if len(parts := _parts(token)) > 1:
        return _with_repeated_word(_join_parts(parts), parts)
    if token.endswith(("'s", "s'")) and (stem := pronounce_text(token[:-2])):
        return Pronunciation(tuple(_with_s(phones) for phones in stem.variants), stem.source)
    if phones := spell_out(token):
        return Pronunciation((phones,), "letters")
    return None


def normalise_word(text: str) -> str:
    """Lower-case a word, straighten its apostrophes and drop accents and outer punctuation.

    A number keeps its currency and its percent sign.
    """
    decomposed = unicodedata.normalize("NFKD", text).lower().replace("’", "'").replace("‘", "'")
    kept = "".join(char for char in decomposed if not unicodedata.combining(char))
    return _OUTSIDE.sub("", kept).strip("_")


def _read_words(readings: list[list[str]]) -> Pronunciation | None:
    """Return what is said for each reading of a number, each word in its first variant."""
    said = [
        _join([_letter(word[0]) if word.endswith(".") else pronounce_text(word) for word in words])
        for words in readings
    ]
    variants = [one.variants[0] for one in said if one is not None]
    return Pronunciation(tuple(dict.fromkeys(variants)), "letters") if variants else None


def _letter(letter: str) -> Pronunciation | None:
    """Return a letter's name: that of "a" is not what the article is."""
    variants = _look_up(f"{letter}.")
    return Pronunciation(variants, "dictionary") if variants else None


def _parts(token: str) -> list[str]:
    for breaks in _BREAKS:
        parts = [part for part in breaks.split(token) if part]
        if len(parts) > 1:
            return parts
    return [token]


def _join_parts(parts: list[str]) -> Pronunciation | None:
    are_letters = all(len(part) == 1 for part in parts)
    return _join([(are_letters and _letter(part)) or pronounce_text(part) for part in parts])


def _with_repeated_word(said: Pronunciation | None, parts: list[str]) -> Pronunciation | None:
    """Add to the letters' names what is said where a letter is a word: "a-a" is a stammer too."""
    if said is None or len(parts[0]) != 1 or len(set(parts)) != 1:
        return said
    as_word = _join([pronounce_text(part) for part in parts])
    variants = said.variants + (as_word.variants if as_word else ())
    return Pronunciation(tuple(dict.fromkeys(variants)), said.source)


def _around_ampersands(token: str, *, is_capital: bool) -> Iterator[Pronunciation | None]:
    """Yield what is said for "R&B" and "AT&T": letters and "and"."""
    for at, part in enumerate(part for part in token.split("&") if part):
        if at:
            yield pronounce_text("and")
        if len(part) == 1 or (is_capital and len(part) == len("at")):
            yield from (_letter(letter) for letter in part)
        else:
            yield pronounce_text(part)


def _stammer(token: str) -> Pronunciation | None:
    """Return what is said for "w-what" and "wha-what": the word's beginning, and the word.

    A single letter may also be said by its name, as in "D-Day".
    """
    match = _STAMMER.fullmatch(token)
    if match is None:
        return None
    *begun, word = token.split("-")
    if not all(_is_begun(part, word) for part in begun):
        return None
    said = pronounce_text(word)
    if said is None:
        return None
    variants = [
        tuple(phone for part in begun for phone in _onset(part, phones)) + phones
        for phones in said.variants
    ]
    by_name = _join([pronounce_text(part) for part in (*begun, word)])
    if by_name is not None and all(len(part) == 1 for part in begun):
        variants = [*variants[: MAX_VARIANTS - 1], *by_name.variants]
    return Pronunciation(tuple(dict.fromkeys(variants)), said.source)


def _is_begun(part: str, word: str) -> bool:
    if part == word or not word.startswith(part):
        return False
    return len(part) == 1 or _VOWEL_LETTERS.isdisjoint(part) or not _look_up(part)


def _onset(part: str, phones: tuple[str, ...]) -> tuple[str, ...]:
    """Return the phones of a word that its first letters stand for."""
    if part == "w" and "W" in phones[:2]:
        return ("W",)  # Of "why" with an H before its W too.
    vowel = next((at for at, phone in enumerate(phones) if phone in VOWELS), len(phones))
    if vowel and _VOWEL_LETTERS.isdisjoint(part):
        return phones[: min(vowel, len(part))]
    return phones[: vowel + 1]


def _join(parts: list[Pronunciation | None]) -> Pronunciation | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None
    phones = tuple(phone for part in known for phone in part.variants[0])
    by_letters = any(part.source == "letters" for part in known)
    return Pronunciation((phones,), "letters" if by_letters else "dictionary")


def _with_s(phones: tuple[str, ...]) -> tuple[str, ...]:
    if phones[-1] in _SIBILANTS:
        return (*phones, "IH", "Z")
    return (*phones, "S" if phones[-1] in _VOICELESS_STOPPERS else "Z")


@cache
def _dictionary() -> bytes:
    """Read the dictionary as one block of bytes.

    A search through 3.2 MB takes about a millisecond and the words of a line are cached; a
    dict of 135,000 entries would cost every analysis process 40 MB and its start 0.2 s.
    """
    from pocketsphinx import get_model_path

    return b"\n" + Path(get_model_path("en-us/cmudict-en-us.dict")).read_bytes()


def _look_up(token: str) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    for plain in dict.fromkeys((token, token.strip("'"))):
        for number in range(1, MAX_VARIANTS + 1):
            name = plain if number == 1 else f"{plain}({number})"
            line = _entry(name)
            if line is None:
                break
            if (phones := normalise_phones(line.split())) and phones not in found:
                found.append(phones)
        if found:
            break
    return tuple(found)


def _entry(name: str) -> str | None:
    block = _dictionary()
    key = b"\n" + name.encode() + b" "
    start = block.find(key)
    if start < 0:
        return None
    start += len(key)
    return block[start : block.find(b"\n", start)].decode()
