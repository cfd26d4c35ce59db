"""TextGrids that contradict themselves: an error that names the place, and never another."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ReferenceFormatError
from analysis.reference import Reference
from analysis.textgrid_tiers import MAX_TEXTGRID_BYTES
from tests.analysis.textgrids import (
    HELLO,
    HELLO_PHONES,
    GridTier,
    Marked,
    long_text,
    short_text,
    words_and_phones,
)

GOOD = words_and_phones()


def refused(data: bytes) -> str:
    with pytest.raises(ReferenceFormatError) as caught:
        Reference.from_textgrid(data)
    assert caught.value.code == "reference_invalid"
    assert caught.value.stage == "decode"
    return caught.value.message


def words(*intervals: Marked, size: int | None = None) -> str:
    return long_text(GridTier("words", intervals, size=size))


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


WRONG: dict[str, tuple[Callable[[], str], str]] = {
    "overlap": (
        lambda: words((0.0, 0.6, "Hello"), (0.5, 1.0, "you")),
        'interval 2 of tier 1 "words" ("you") starts at 0.5 s, before 0.6 s',
    ),
    "out of order": (
        lambda: words((0.6, 1.0, "you"), (0.2, 0.6, "Hello")),
        'interval 2 of tier 1 "words" ("Hello") starts at 0.2 s, before 1 s',
    ),
    "reversed": (
        lambda: words((0.6, 0.2, "Hello")),
        'interval 1 of tier 1 "words" ("Hello") runs from 0.6 to 0.2 s',
    ),
    "no length": (lambda: words((0.6, 0.6, "Hello")), "runs from 0.6 to 0.6 s"),
    "before the tier": (lambda: words((-0.5, 0.6, "Hello")), "starts at -0.5 s, before 0 s"),
    "beyond the tier": (
        lambda: words((0.2, 2.0, "Hello")),
        'tier 1 "words" ends at 1.3 s, but its last interval at 2 s',
    ),
    "nan": (
        lambda: replaced("xmin = 0.2", "xmin = nan"),
        'says nan for the start of interval 2 of tier 1 "words" (line 20)',
    ),
    "infinity": (lambda: replaced("xmax = 0.6", "xmax = inf"), "says inf for the end of interval"),
    "undefined": (
        lambda: replaced("xmin = 0.2", "xmin = --undefined--"),
        "says --undefined-- for the start",
    ),
    "a time too large": (lambda: replaced("xmax = 0.6", "xmax = 6e7"), "more than 1,000,000"),
    "a word for a time": (
        lambda: replaced("xmax = 0.6", "xmax = later"),
        'has "Hello" where the end of interval 2 of tier 1 "words" should stand (line 22)',
    ),
    "end before start": (
        lambda: long_text(GridTier("words", HELLO), start=2.0, end=1.3),
        "has the file running from 2 to 1.3 s",
    ),
    "size too large": (
        lambda: words(*HELLO, size=5),
        "ends where the start of interval 5 of tier 1",
    ),
    "size far too large": (lambda: words(*HELLO, size=10**9), "more than 1,000,000"),
    "size too large for a line": (lambda: words(*HELLO, size=20_000), "15,000 are taken in all"),
    "size too small": (
        lambda: words(*HELLO, size=3),
        "goes on after the last tier that its size announces",
    ),
    "size too small, tiers behind": (
        lambda: long_text(GridTier("words", HELLO, size=3), GridTier("phones", HELLO_PHONES)),
        "has 1.0 where the class of tier 2 should stand",
    ),
    "size too small, short": (
        lambda: short_text(GridTier("words", HELLO, size=3)),
        "a size is too small",
    ),
    "size negative": (lambda: words(*HELLO, size=-1), 'says that tier 1 "words" has -1 intervals'),
    "size broken": (
        lambda: replaced("intervals: size = 4", "intervals: size = 4.5"),
        'says that tier 1 "words" has 4.5 intervals',
    ),
    "stray quote": (
        lambda: replaced('"Hello"', '"Hel"lo"'),
        "has a quote that is never closed, near line",
    ),
    "two stray quotes": (
        lambda: GOOD.replace('"Hello"', '"Hello').replace('"you"', '"you'),
        "a quote or a size before it may be wrong",
    ),
    "cut": (lambda: GOOD[: len(GOOD) // 2], "it is cut short, or a size is too large"),
    "no tiers": (
        lambda: GOOD.replace("<exists>", "<absent>"),
        "has no tiers",
    ),
    "no words tier": (
        lambda: long_text(GridTier("phones", HELLO_PHONES), GridTier("sentence", HELLO)),
        'has no interval tier named "words" (its interval tiers: "phones", "sentence")',
    ),
    "words as points": (
        lambda: long_text(GridTier("words", points=((0.2, "Hello"),))),
        'has no interval tier named "words" (its interval tiers: none at all)',
    ),
    "no word": (lambda: words((0.0, 1.3, "sil")), 'has no word in its tier "words"'),
    "only punctuation": (lambda: words((0.0, 1.3, "...")), 'has no word in its tier "words"'),
    "two speakers": (
        lambda: long_text(GridTier("Anna - words", HELLO), GridTier("Ben - words", HELLO)),
        'has words in "Anna - words" and "Ben - words"',
    ),
    "an unknown class": (
        lambda: replaced('"IntervalTier"', '"SpectrumTier"'),
        'is of class "SpectrumTier"',
    ),
    "another object": (
        lambda: replaced('"TextGrid"', '"PitchTier"'),
        'it holds a Praat object of class "PitchTier"',
    ),
    "chronological": (
        lambda: '"Praat chronological TextGrid text file"\n0 1.3 ! Time domain.\n',
        'begins with "Praat chronological TextGrid text file"',
    ),
    "a long word": (lambda: words((0.0, 1.0, "a" * 65)), "has a word of 65 characters"),
    "a very long mark": (lambda: words((0.0, 1.0, "a" * 300)), "has 300 characters in interval 1"),
    "too many words": (
        lambda: long_text(
            GridTier("words", [(i / 10, (i + 1) / 10, "w") for i in range(1001)]), end=100.1
        ),
        "has 1,001 words; the limit is 1,000",
    ),
    "empty": (lambda: " \n", "is empty"),
    "json": (lambda: '{"words": []}', 'begins with "words", not with "ooTextFile"'),
    "plain text": (lambda: "Mark is going to see elephant", "ends where the file type"),
    "too large": (
        lambda: GOOD + " " * MAX_TEXTGRID_BYTES,
        "the limit is 1,048,576",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_place(name: str) -> None:
    make, says = WRONG[name]
    message = refused(make().encode())
    assert message.startswith("The TextGrid ")
    assert message.endswith(".")
    assert says in message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"ooBinaryFile\x08TextGrid" + bytes(40), "binary format"),
        ("caf\u00e9 ".encode("latin-1") + GOOD.encode(), "is not valid UTF-8 at byte 3"),
        (GOOD.encode("utf-16")[:-1], "is not valid UTF-16"),
        (b"\x00\x01\x02\x03" * 100, "ends where the file type"),
    ],
    ids=["praat binary", "latin-1", "half a character", "bytes"],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, says: str) -> None:
    assert says in refused(data)


MEGABYTE = 1_000_000
HEAD = 'File type = "ooTextFile"\nObject class = "TextGrid"\n'
SLOW: dict[str, Callable[[], str]] = {
    "a stray quote": lambda: long_text(
        GridTier("words", [(i, i + 1, "word") for i in range(9_000)]), end=9_000.0
    ).replace('"word"', '"word', 1),
    "a quote before a megabyte of lines": lambda: HEAD + '"' + "x\n" * (MEGABYTE // 2),
    "quotes alone": lambda: HEAD + '"' * MEGABYTE,
    "spaces before a quote": lambda: HEAD + " " * (MEGABYTE // 2) + '"' + "x" * (MEGABYTE // 2),
    "spaces before a word": lambda: HEAD + " " * MEGABYTE + "x",
    "one number": lambda: HEAD + "1" * MEGABYTE,
    "a million dots": lambda: HEAD + "1." * (MEGABYTE // 2),
    "words without meaning": lambda: HEAD + "x " * (MEGABYTE // 2),
    "words like numbers": lambda: HEAD + "in na " * (MEGABYTE // 6),
    "comments": lambda: HEAD + "!\n" * (MEGABYTE // 2),
    "tiny intervals": lambda: short_text(
        *(GridTier(f"{name} - words", [(i, i + 1, "w") for i in range(2_999)]) for name in "abcde"),
        end=2_999,
    ),
    "a mark of a megabyte": lambda: words((0.0, 1.0, "x " * (MEGABYTE // 2))),
    "a tier's name of a megabyte": lambda: long_text(GridTier(" _" * 450_000 + "word", HELLO)),
    "brackets": lambda: words((0.0, 1.0, "<" * 199)),
    "a thousand tiers": lambda: short_text(*(GridTier("words", HELLO) for _ in range(3_000))),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_megabyte_never_keeps_the_reader_busy(name: str) -> None:
    data = SLOW[name]().encode()[:MAX_TEXTGRID_BYTES]
    start = time.process_time()
    refused(data)
    # Linear: well under a second. Quadratic in a megabyte: over half a minute.
    assert time.process_time() - start < 8.0


def read_or_refuse(data: bytes) -> None:
    problem = "none"
    try:
        reference = Reference.from_textgrid(data)
    except ReferenceFormatError as error:
        problem = error.code
    else:
        assert reference.words
        last = 0.0
        for word in reference.words:
            assert word.text
            assert word.start is not None
            assert word.end is not None
            assert last <= word.start < word.end
            last = word.end
            for phone in word.phones:
                assert word.start <= phone.start <= phone.end <= word.end
    assert problem in {"none", "reference_invalid"}


TIMES = st.sampled_from([0.0, 0.2, 0.6, 1.0, 1.3, -1.0, 5025.5, 1e-6]) | st.floats(0, 2)
MARKS = st.sampled_from(["Hello", "you", "", "sil", "AH0", "HH", 'a"b', "spn", "ŋ", "two words"])
INTERVALS = st.lists(st.tuples(TIMES, TIMES, MARKS), max_size=5)
NAMES = st.sampled_from(["words", "phones", "Anna - words", "Words", "notes"]) | st.text(max_size=5)
TIERS = st.lists(
    st.builds(
        GridTier,
        name=NAMES,
        intervals=INTERVALS | INTERVALS.map(sorted),
        size=st.none() | st.integers(-1, 6),
    ),
    max_size=3,
)


@settings(max_examples=300, derandomize=True, deadline=5000)
@given(tiers=TIERS, start=TIMES, end=TIMES, short=st.booleans())
def test_any_tiers_are_read_or_refused(
    tiers: list[GridTier], start: float, end: float, *, short: bool
) -> None:
    write = short_text if short else long_text
    read_or_refuse(write(*tiers, start=start, end=end).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, derandomize=True, deadline=5000)
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(0, len(GOOD)),
            st.integers(0, 40),
            st.sampled_from(
                [
                    "",
                    '"',
                    "\n",
                    "nan",
                    "-",
                    "9",
                    " ",
                    "\0",
                    "\ufeff",
                    "!",
                    "<exists>",
                    "\u2028",
                    "é",
                ]
            ),
        ),
        max_size=5,
    ),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]),
)
def test_any_damage_is_read_or_refused(cuts: list[tuple[int, int, str]], encoding: str) -> None:
    text = GOOD
    for at, length, instead in cuts:
        text = text[:at] + instead + text[at + length :]
    read_or_refuse(text.encode(encoding))


@settings(max_examples=200, derandomize=True, deadline=5000)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)
    read_or_refuse(GOOD.encode()[:200] + data)


@settings(max_examples=200, derandomize=True, deadline=5000)
@given(st.text(max_size=300), st.none() | st.lists(st.none() | st.lists(MARKS, max_size=3)))
def test_any_text_is_taken_or_refused(text: str, phones: list[list[str] | None] | None) -> None:
    problem = "none"
    try:
        reference = Reference.from_text(text, phones=phones)
    except ReferenceFormatError as error:
        problem = error.code
    else:
        assert all(word.text for word in reference.words)
    assert problem in {"none", "reference_invalid"}
