"""What marks mean: the words, phones and silences that tiers and texts are written in."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

VOWELS: Final = frozenset(
    ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
)
# fmt: off
CONSONANTS: Final = frozenset((
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH",
    "T", "TH", "V", "W", "Y", "Z", "ZH",
))
# fmt: on
ARPABET: Final = VOWELS | CONSONANTS
"""The 39 phones of the CMU dictionary."""
REDUCED_VOWELS: Final = {"AX": "AH", "AXR": "ER", "IX": "IH", "UX": "UW"}
"""TIMIT's reduced vowels, which some aligners keep apart, by their CMU dictionary phone."""
SILENCES: Final = frozenset(
    ("", "sil", "sp", "spn", "eps", "pau", "h#", "#", "silence", "noise", "nsn")
)
"""Marks of no word or phone, in lower case; whatever stands in <>, [], {} or () is one too."""
ELISIONS: Final = frozenset(
    ("'bout", "'cause", "'cuz", "'em", "'fraid", "'kay", "'less", "'n", "'nother", "'round")
    + ("'scuse", "'til", "'tis", "'twas")
)
"""Words that begin with an apostrophe, which in others is a quotation mark."""

_BRACKETED = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|\([^()]*\)")
_ARPABET_MARK = re.compile(r"([A-Z]{1,3})([012])?")
_WORD_BREAK = re.compile(r"[\s—–…/]+|--+|\.{2,}")


def split_words(text: str) -> list[str]:
    """Return the words of a line without their punctuation; hyphens and apostrophes stay inside.

    >>> split_words("Mark is “going”—'cause he's late…")
    ['Mark', 'is', 'going', "'cause", "he's", 'late']
    """
    return [word for part in _WORD_BREAK.split(text) if (word := strip_punctuation(part))]


def strip_punctuation(word: str) -> str:
    """Return the word without what surrounds it; apostrophes that belong to it stay.

    >>> strip_punctuation("“Don’t,”"), strip_punctuation("'cause"), strip_punctuation("goin'.")
    ("Don't", "'cause", "goin'")
    """
    word = unicodedata.normalize("NFC", word).replace("’", "'").replace("‘", "'")
    start, end = 0, len(word)
    while start < end and not _is_letter(word[start]):
        start += 1
    while end > start and not _is_letter(word[end - 1]):
        end -= 1
    core = word[start:end]
    if word[start - 1 : start] == "'" and f"'{core.lower()}" in ELISIONS:
        return f"'{core}"
    if word[end : end + 1] == "'" and core.lower().endswith("in"):
        return f"{core}'"
    return core


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


def is_silence(mark: str) -> bool:
    """Return True for a mark of no word or phone: ``sil``, ``<eps>``, ``[laughter]``, …"""
    mark = mark.strip().casefold()
    return mark in SILENCES or _BRACKETED.fullmatch(mark) is not None


def parse_arpabet(mark: str) -> tuple[str, int | None] | None:
    """Return phone and stress of an ARPAbet mark, in any case; None if it is no ARPAbet.

    >>> parse_arpabet("ow1"), parse_arpabet("NG"), parse_arpabet("ŋ")
    (('OW', 1), ('NG', None), None)
    """
    match = _ARPABET_MARK.fullmatch(mark.strip().upper())
    if match is None:
        return None
    phone = REDUCED_VOWELS.get(match[1], match[1])
    if phone not in ARPABET:
        return None
    return phone, int(match[2]) if match[2] and phone in VOWELS else None
