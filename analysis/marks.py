"""What marks mean: the words, phones and silences that tiers and texts are written in."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from analysis.phones import VOWELS, normalise_phones

NO_WORDS: Final = frozenset(("", "sil", "sp", "spn", "h#", "#", "pau", "eps", "epi", "nsn"))
"""Marks of no word, in lower case; whatever stands in <>, [], {} or () is one too."""
SILENCES: Final = NO_WORDS | {"silence", "noise"}
"""Marks of no phone, likewise; the two others may be words of a line."""
# fmt: off
ELISIONS: Final = frozenset((
    "'bout", "'cause", "'cuz", "'em", "'fraid", "'kay", "'less", "'n", "'nother", "'round",
    "'scuse", "'til", "'tis", "'twas",
))
# fmt: on
"""Words that begin with an apostrophe; before any other it is a quotation mark."""

SAID_BEFORE: Final = re.compile(r"[$£€](?=\d)")
SAID_AFTER: Final = re.compile(r"\d%")

_BRACKETED = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|\([^()]*\)")
# Tags and times of subtitles stand against words, "<i>never</i>"; "<3" is none.
_TAG = re.compile(r"</?[^\W\d_][^<>]*>|<[\d:.]+>")
# In other brackets a part of a word may stand, "word(s)", or a number, "(212) 555-0100".
_DIRECTION = re.compile(
    rf"{_TAG.pattern}|"
    r"(?<!\w)(?![\[{(]\d+[\]})])(?:\[[^\[\]]*\]|\{[^{}]*\}|\([^()]*\))(?!\w)"
)
_ARPABET_MARK = re.compile(r"([A-Z]{1,3}(?:-H)?)([0-2])?(?:_[BIES])?")
_WORD_BREAK = re.compile(r"[\s—–…/]+|--+|\.{2,}")


def split_words(text: str) -> list[str]:
    """Return the words of a line without their punctuation; hyphens and apostrophes stay inside.

    What stands in brackets of any kind is a direction, and not said, unless it is a number or all
    that there is.

    >>> split_words("Mark is “going”—'cause he's late… (sighs)")
    ['Mark', 'is', 'going', "'cause", "he's", 'late']
    """
    return _split(_DIRECTION.sub(" ", text)) or _split(_TAG.sub(" ", text))


def _split(text: str) -> list[str]:
    return [word for part in _WORD_BREAK.split(text) if (word := strip_punctuation(part))]


def strip_punctuation(word: str) -> str:
    """Return the word without what surrounds it; apostrophes that belong to it stay.

    So do what is said of a number, its currency and its percent.

    >>> strip_punctuation("“Don’t,”"), strip_punctuation("'cause"), strip_punctuation("goin'.")
    ("Don't", "'cause", "goin'")
    >>> strip_punctuation("($5)"), strip_punctuation("50%.")
    ('$5', '50%')
    """
    word = unicodedata.normalize("NFC", word).replace("’", "'").replace("‘", "'")
    start, end = 0, len(word)
    while start < end and not (_is_letter(word[start]) or SAID_BEFORE.match(word, start)):
        start += 1
    while end > start and not (_is_letter(word[end - 1]) or SAID_AFTER.match(word, end - 2)):
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
    """Return True for a mark of no phone, like ``sil``, ``pau``, ``<eps>`` or ``[laughter]``."""
    return _stands_among(SILENCES, mark)


def is_word(mark: str) -> bool:
    """Return True for a mark that a tier of words has for a word, as it has ``silence``.

    >>> is_word("silence"), is_word("sil"), is_word("[laughter]"), is_word("…")
    (True, False, False, False)
    """
    return not _stands_among(NO_WORDS, mark) and strip_punctuation(mark) != ""


def _stands_among(marks: frozenset[str], mark: str) -> bool:
    mark = mark.strip().casefold()
    return mark in marks or _BRACKETED.fullmatch(mark) is not None


def parse_arpabet(mark: str) -> tuple[tuple[str, int | None], ...] | None:
    """Return the phones of an ARPAbet mark with their stress; None if it is no ARPAbet.

    In any case, with Kaldi's word positions, and with TIMIT's symbols folded into the 39 phones.

    >>> parse_arpabet("ow1"), parse_arpabet("NG_E"), parse_arpabet("el"), parse_arpabet("ŋ")
    ((('OW', 1),), (('NG', None),), (('AH', None), ('L', None)), None)
    """
    match = _ARPABET_MARK.fullmatch(mark.strip().upper())
    phones = normalise_phones((match[1],)) if match else None
    if match is None or phones is None:
        return None
    stress = int(match[2]) if match[2] else None
    return tuple((phone, stress if phone in VOWELS else None) for phone in phones)


def write_arpabet(phone: str, stress: int | None) -> str:
    """Return a phone as dictionaries write it: ``("OW", 1)`` is ``"OW1"``."""
    return phone if stress is None else f"{phone}{stress}"
