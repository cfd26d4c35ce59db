"""Letter-to-sound by rule: a plausible reading of a word that no dictionary knows."""

from __future__ import annotations

import re
from typing import Final

# The longest grapheme that matches is read first. Consonants in the general reading of
# American English, vowels in their reading before a consonant; magic e is handled apart.
_RULES: Final[dict[str, str]] = {
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "augh": "AO",
    "eigh": "EY", "igh": "AY", "tch": "CH", "dge": "JH", "sch": "S K", "ck": "K", "ch": "CH",
    "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "qu": "K W", "ng": "NG", "gh": "G",
    "kn": "N", "wr": "R", "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ea": "IY",
    "ee": "IY", "ei": "IY", "ey": "IY", "eu": "Y UW", "ew": "UW", "ie": "IY", "oa": "OW",
    "oi": "OY", "oy": "OY", "oo": "UW", "ou": "AW", "ow": "OW", "ue": "UW", "ui": "UW",
    "ar": "AA R", "er": "ER", "ir": "ER", "or": "AO R", "ur": "ER", "a": "AE", "b": "B",
    "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S",
    "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_LONG: Final = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW", "y": "AY"}
_SOFTENERS: Final = "eiy"
_MAX_GRAPHEME_LETTERS: Final = 4


def spell_out(token: str) -> tuple[str, ...] | None:
    """Read a normalised token aloud; None if it is not written in Latin letters."""
    letters = token.replace("'", "")
    if not re.fullmatch(r"[a-z]+", letters):
        return None
    return _read(letters)


def _read(letters: str) -> tuple[str, ...]:
    phones: list[str] = []
    at = 0
    while at < len(letters):
        if at and letters[at] == letters[at - 1] and letters[at] not in "aeiou":
            at += 1  # a doubled consonant is one sound
            continue
        if letters[at] == "e" and at == len(letters) - 1 and phones:
            break  # a final e is silent
        length = next(
            n for n in range(_MAX_GRAPHEME_LETTERS, 0, -1) if letters[at : at + n] in _RULES
        )
        grapheme = letters[at : at + length]
        after = letters[at + length : at + length + 1]
        phones += _sounds(grapheme, letters, at, after).split()
        at += length
    return tuple(phones)


def _sounds(grapheme: str, letters: str, at: int, after: str) -> str:
    if grapheme == "c" and after and after in _SOFTENERS:
        return "S"
    if grapheme == "g" and after == "e":
        return "JH"
    if grapheme == "y" and at == 0:
        return "Y"
    if grapheme in _LONG and re.fullmatch(r"[bcdfgklmnprstvz]e", letters[at + 1 :]):
        return _LONG[grapheme]
    if grapheme in ("e", "i", "o", "y") and not after:
        return {"e": "IY", "i": "IY", "o": "OW", "y": "IY"}[grapheme]
    return _RULES[grapheme]
