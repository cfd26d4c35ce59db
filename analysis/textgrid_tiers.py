"""A TextGrid's bytes to its interval tiers, guarded: what the `textgrid` package must not be given.

The package reads well-formed files. Left alone with the others it spends 31 s on one stray quote
in 0.8 MB (it joins lines until the quotes are even), leaves out intervals that are reversed or
NaN, stops at a `size` that is too small, misreads point tiers of the short format and breaks
lines at U+2028. So the text is walked first as Praat itself reads it (numbers, strings in quotes
and flags count, all other words are decoration), checked, and handed over in the one layout that
the package reads without fault.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final, NamedTuple

import textgrid

from analysis.errors import ReferenceFormatError

MAX_TEXTGRID_BYTES: Final = 2**20
"""A ten-second line with words and phones is about 10 kB, in UTF-16 20 kB."""
MAX_ENTRIES: Final = 15_000
"""Intervals and points in all tiers; 120 s of fast speech has 800 words and 2,500 phones."""
MAX_MARK_CHARS: Final = 200
"""In the tiers that are read; a comment in another may be longer."""
MAX_TIME_S: Final = 1e6
TIME_DIGITS: Final = 5
"""Times are rounded to 10 µs, so that 1.2300000001 does not overlap 1.23."""
OVERRUN_S: Final = 0.05
"""How far the last interval may reach beyond the tier's own end: writers round them differently."""

_NUMBER = r"[-+]?(?:\d{1,99}\.?\d{0,99}|\.\d{1,99})(?:[eE][-+]?\d{1,3})?"
_BROKEN_NUMBER = r"[-+]?(?i:nan|inf|infinity|--undefined--)"
_FLAG = r"<exists>|<absent>"
_WORD_ENDS = r"(?![^\s\"])"
# Every character of a stripped text belongs to one of these, so that a search never starts again;
# decoration is taken as long as it goes, so that a megabyte of it is one match. Its repetition is
# an atomic group: Python before 3.11.5 (Debian 12 has 3.11.2) forgets the lookahead within `)++`.
_TOKEN = re.compile(
    rf"""
    \s*+ (?:
        (?P<string> "[^"]*+(?:""[^"]*+)*+" )   # Praat doubles a quote inside a string
      | (?P<comment> ![^\n]*+ )
      | (?P<number> {_NUMBER} ) {_WORD_ENDS}
      | (?P<broken> {_BROKEN_NUMBER} ) {_WORD_ENDS}
      | (?P<flag> {_FLAG} ) {_WORD_ENDS}
      | (?P<decoration> (?> (?:
            (?! ! | (?:{_NUMBER}|{_BROKEN_NUMBER}|{_FLAG}){_WORD_ENDS} ) [^\s"]++ \s*+
        )+ ) )
    )
    """,
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


@dataclass(frozen=True)
class Interval:
    """One labelled stretch of a tier; times in seconds as the file has them."""

    number: int
    start: float
    end: float
    mark: str


@dataclass(frozen=True)
class Tier:
    """An interval tier, its intervals in order of time and without overlaps.

    As `read_tiers` returns it without those that have no mark; `has_blanks` says that there were.
    """

    name: str
    start: float
    end: float
    intervals: tuple[Interval, ...]
    has_blanks: bool = False


def read_tiers(data: bytes, keep: Callable[[str], bool]) -> tuple[tuple[str, ...], list[Tier]]:
    """Read the interval tiers whose name `keep` accepts; all tiers are checked.

    Long and short text format; UTF-8 with and without byte order mark, UTF-16.

    Returns
    -------
    tuple of the names of all interval tiers, and the list of the tiers kept

    Raises
    ------
    ReferenceFormatError
        Code ``reference_invalid``; the message names the tier, the interval and the values.
    """
    if not data.strip():
        raise invalid("is empty")
    if len(data) > MAX_TEXTGRID_BYTES:
        raise invalid(
            f"has {len(data):,} bytes; the limit is {MAX_TEXTGRID_BYTES:,}: "
            "give one clip's TextGrid, not a whole film's"
        )
    tiers = list(_Walk(_decode(data)).tiers())
    return tuple(tier.name for tier in tiers), _build([tier for tier in tiers if keep(tier.name)])


def invalid(what: str) -> ReferenceFormatError:
    """Return the error for a TextGrid that `what` is wrong with."""
    return ReferenceFormatError("reference_invalid", f"The TextGrid {what}.")


def _decode(data: bytes) -> str:
    if data.startswith(b"ooBinaryFile"):
        raise invalid("is in Praat's binary format: save it with “Save as text file…”")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif data[:2] == b"F\0":
        encoding = "utf-16-le"
    elif data[:2] == b"\0F":
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise invalid(f"is not valid {name} at byte {error.start}: save it as UTF-8") from None


class _Walk:
    """One pass over the tokens of a TextGrid, in the order in which Praat writes them."""

    def __init__(self, text: str) -> None:
        self._text = text
        if text.count('"') % 2:
            raise invalid(f"has a quote that is never closed, near line {_stray_quote(text)}")
        self._tokens = self._read_tokens()
        self._entries = 0

    def _read_tokens(self) -> Iterator[_Token]:
        """Yield what counts, and pass over what is decoration: ``intervals [1]:``, ``xmin =``."""
        for match in _TOKEN.finditer(self._text.rstrip()):
            kind = str(match.lastgroup)
            if kind not in {"comment", "decoration"}:
                yield _Token(kind, match[kind], match.start(kind))

    def tiers(self) -> Iterator[Tier]:
        """Yield the interval tiers."""
        kind = self._string("the file type")
        if not kind.startswith("ooTextFile"):
            raise invalid(
                f'is not one: it begins with "{kind[:40]}", not with "ooTextFile"; '
                "in Praat, use “Save as text file…”"
            )
        what = self._string("the object class")
        if what != "TextGrid":
            raise invalid(f'is not one: it holds a Praat object of class "{what[:40]}"')
        self._span("the file")
        if self._flag() == "<absent>":
            raise invalid("has no tiers")
        for number in range(1, self._size("the file", "tiers") + 1):
            tier = self._tier(number)
            if tier is not None:
                yield tier
        if (extra := next(self._tokens, None)) is not None:
            raise invalid(
                f"goes on after the last tier that its size announces ({self._line(extra)}): "
                "a size is too small"
            )

    def _tier(self, number: int) -> Tier | None:
        kind = self._string(f"the class of tier {number}")
        name = self._string(f"the name of tier {number}")
        where = f'tier {number} "{name[:40]}"'
        start, end = self._span(where)
        if kind == "TextTier":
            for index in range(1, self._size(where, "points") + 1):
                self._number(f"the time of point {index} of {where}")
                self._string(f"the mark of point {index} of {where}")
            return None
        if kind != "IntervalTier":
            raise invalid(f'{where} is of class "{kind[:40]}"; IntervalTier and TextTier are known')
        intervals: list[Interval] = []
        before = start
        for index in range(1, self._size(where, "intervals") + 1):
            here = f"interval {index} of {where}"
            left = self._number(f"the start of {here}")
            right = self._number(f"the end of {here}")
            mark = self._string(f"the text of {here}")
            if right < left or (right == left and mark.strip()):
                raise invalid(
                    f'{here} ("{mark[:40]}") runs from {left:g} to {right:g} s: '
                    "its end must come after its start"
                )
            if left < before:
                raise invalid(
                    f'{here} ("{mark[:40]}") starts at {left:g} s, before {before:g} s, '
                    "where what comes before it ends: intervals must not overlap"
                )
            before = right
            intervals.append(Interval(index, left, right, " ".join(mark.split())))
        if before > end + OVERRUN_S:
            raise invalid(f"{where} ends at {end:g} s, but its last interval at {before:g} s")
        return Tier(name, start, max(end, before), tuple(intervals))

    def _span(self, where: str) -> tuple[float, float]:
        start = self._number(f"the start (xmin) of {where}")
        end = self._number(f"the end (xmax) of {where}")
        if not start < end:
            raise invalid(
                f"has {where} running from {start:g} to {end:g} s: xmax must be after xmin"
            )
        return start, end

    def _size(self, where: str, what: str) -> int:
        size = self._number(f"the number of {what} of {where}")
        if size < 0 or size != int(size):
            raise invalid(f"says that {where} has {size:g} {what}")
        self._entries += int(size)
        if self._entries > MAX_ENTRIES:
            raise invalid(
                f"says that {where} has {size:,.0f} {what}; {MAX_ENTRIES:,} are taken in all: "
                "give one clip's TextGrid, not a whole film's"
            )
        return int(size)

    def _string(self, what: str) -> str:
        token = self._next(what)
        if token.kind != "string":
            raise self._unexpected(what, "a text in quotes", token)
        return token.text[1:-1].replace('""', '"')

    def _number(self, what: str) -> float:
        token = self._next(what)
        if token.kind == "broken":
            raise invalid(f"says {token.text} for {what} ({self._line(token)}): give seconds")
        if token.kind != "number":
            raise self._unexpected(what, "a number", token)
        value = round(float(token.text), TIME_DIGITS)
        if not abs(value) <= MAX_TIME_S:
            raise invalid(
                f"says {token.text[:20]} for {what} ({self._line(token)}): "
                f"more than {MAX_TIME_S:,.0f} is taken for an error"
            )
        return value

    def _flag(self) -> str:
        token = self._next("<exists>")
        if token.kind != "flag":
            raise self._unexpected("the tiers", "<exists>", token)
        return token.text

    def _next(self, what: str) -> _Token:
        token = next(self._tokens, None)
        if token is None:
            raise invalid(
                f"ends where {what} should stand: it is cut short, or a size is too large"
            )
        return token

    def _unexpected(self, what: str, wanted: str, token: _Token) -> ReferenceFormatError:
        return invalid(
            f"has {token.text[:40]} where {what} should stand ({self._line(token)}): "
            f"{wanted} was expected; a quote or a size before it may be wrong"
        )

    def _line(self, token: _Token) -> str:
        return f"line {_line_number(self._text, token.position)}"


def _line_number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _stray_quote(text: str) -> int:
    """Return the line where the first string begins that runs on to the next, else of the last."""
    position = -1
    for index, part in enumerate(text.split('"')):
        if index % 2 and "\n" in part:
            break
        position += len(part) + 1
    return _line_number(text, min(position, text.rfind('"')))


def _build(tiers: Sequence[Tier]) -> list[Tier]:
    """Let the package build the tiers, in strict mode, without the unlabelled intervals."""
    lines = ['File type = "ooTextFile short"', '"TextGrid"', ""]
    lines += [_seconds(min((tier.start for tier in tiers), default=0.0))]
    lines += [_seconds(max((tier.end for tier in tiers), default=1.0)), "<exists>"]
    lines += [str(len(tiers))]
    for tier in tiers:
        labelled = [interval for interval in tier.intervals if interval.mark]
        for interval in labelled:
            if len(interval.mark) > MAX_MARK_CHARS:
                raise invalid(
                    f"has {len(interval.mark):,} characters in interval {interval.number} of tier "
                    f'"{tier.name[:40]}" ("{interval.mark[:20]}…"); the limit is {MAX_MARK_CHARS}'
                )
        lines += ['"IntervalTier"', '"tier"', _seconds(tier.start), _seconds(tier.end)]
        lines += [str(len(labelled))]
        for interval in labelled:
            mark = interval.mark.replace('"', '""')
            lines += [_seconds(interval.start), _seconds(interval.end), f'"{mark}"']
    grid = textgrid.TextGrid(strict=True)
    try:
        with _file(("\n".join(lines) + "\n").encode()) as file:
            # The package takes a path and nothing else; a descriptor is one, and it closes it.
            grid.read(os.dup(file.fileno()), round_digits=TIME_DIGITS, encoding="utf-8")
    except Exception as error:
        raise invalid(f"cannot be read: {error!r}") from error
    return [
        _numbered(walked, [(read.minTime, read.maxTime, read.mark) for read in built])
        for walked, built in zip(tiers, grid.tiers, strict=True)
    ]


def _numbered(walked: Tier, built: Sequence[tuple[float, float, str]]) -> Tier:
    """Give the package's intervals the numbers under which Praat shows them."""
    numbers = {interval.start: interval.number for interval in walked.intervals if interval.mark}
    intervals = tuple(Interval(numbers[start], start, end, mark) for start, end, mark in built)
    has_blanks = any(not interval.mark for interval in walked.intervals)
    return Tier(walked.name, walked.start, walked.end, intervals, has_blanks)


def _seconds(value: float) -> str:
    return f"{value:.{TIME_DIGITS}f}"


@contextmanager
def _file(data: bytes) -> Iterator[IO[bytes]]:
    """Hold `data` in a file; on Linux in memory, as a container's disk may be read-only."""
    if sys.platform == "linux":
        opened: IO[bytes] = os.fdopen(os.memfd_create("textgrid"), "w+b")
    else:
        opened = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
    with opened as file:
        file.write(data)
        file.flush()
        file.seek(0)
        yield file
