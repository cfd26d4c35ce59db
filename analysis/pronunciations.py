"""A word's phones: as the reference says, else from the CMU dictionary, else by its letters."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from analysis.letters import spell_out
from analysis.phones import normalise_phones

if TYPE_CHECKING:
    from analysis.reference import ReferenceWord

Source = Literal["reference", "dictionary", "letters"]

# More variants than this only let the aligner fit noise: the dictionary's longest lists are
# rare names.
MAX_VARIANTS: Final = 4
# A token longer than any English word is not looked up phone by phone.
MAX_WORD_LETTERS: Final = 45
_VOICELESS_STOPPERS: Final = frozenset(("F", "K", "P", "T", "TH"))
_SIBILANTS: Final = frozenset(("CH", "JH", "S", "SH", "Z", "ZH"))


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
    """Return the pronunciations of a written word (``"It's"``, ``"well-known"``, ``"42"``)."""
    token = normalise_word(text)
    if not token or len(token) > MAX_WORD_LETTERS:
        return None
    if variants := _look_up(token):
        return Pronunciation(variants, "dictionary")
    parts = [part for part in re.split(r"[-_/.,:;&+\s]+", token) if part]
    if len(parts) > 1:
        return _join([pronounce_text(part) for part in parts])
    if token.endswith(("'s", "s'")) and (stem := pronounce_text(token[:-2])):
        return Pronunciation(tuple(_with_s(phones) for phones in stem.variants), stem.source)
    if phones := spell_out(token, _first_variant):
        return Pronunciation((phones,), "letters")
    return None


def normalise_word(text: str) -> str:
    """Lower-case a word, straighten its apostrophes and drop accents and outer punctuation."""
    decomposed = unicodedata.normalize("NFKD", text).lower().replace("’", "'").replace("‘", "'")
    kept = "".join(char for char in decomposed if not unicodedata.combining(char))
    return re.sub(r"^[^\w']+|[^\w']+$", "", kept).strip("_")


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


def _first_variant(token: str) -> tuple[str, ...] | None:
    variants = _look_up(token)
    return variants[0] if variants else None


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
