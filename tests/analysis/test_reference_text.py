"""A text becomes a `Reference` without times."""

from __future__ import annotations

import pytest

from analysis.errors import ReferenceFormatError
from analysis.reference import Reference


def test_a_text_gives_its_words_without_times() -> None:
    reference = Reference.from_text("Mark is “going”—'cause he's late… isn't he?")
    assert [word.text for word in reference.words] == [
        "Mark",
        "is",
        "going",
        "'cause",
        "he's",
        "late",
        "isn't",
        "he",
    ]
    assert not reference.is_timed
    assert reference.duration is None
    assert all(word.pronunciation is None for word in reference.words)


@pytest.mark.parametrize(
    "text",
    [
        "(sighs) Hello [laughs] you",
        "[door slams] Hello, (to himself, sadly) you.",
        "<i>Hello</i> you {breath}",
    ],
)
def test_what_stands_in_brackets_is_not_said(text: str) -> None:
    assert [word.text for word in Reference.from_text(text).words] == ["Hello", "you"]


def test_signs_of_less_and_more_are_no_tag() -> None:
    words = Reference.from_text("I <3 you and you > me, <00:01.5>not <b>less</b>").words
    assert [w.text for w in words] == ["I", "3", "you", "and", "you", "me", "not", "less"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("call (212) 555-0100", ["call", "212", "555-0100"]),
        ("in [1984] or (50)", ["in", "1984", "or", "50"]),
        ("(No!)", ["No"]),
        ("[We (all) know.]", ["We", "all", "know"]),
    ],
)
def test_brackets_around_a_number_or_the_whole_line_are_said(text: str, words: list[str]) -> None:
    assert [word.text for word in Reference.from_text(text).words] == words


def test_brackets_within_a_word_are_not_a_direction() -> None:
    words = Reference.from_text("the word(s) (you) mean :( or <3").words
    assert [word.text for word in words] == ["the", "word(s", "mean", "or", "3"]


def test_each_token_of_a_text_is_one_word_however_many_are_said() -> None:
    text = "1984: $1,000 or “50%” on the 21st at 5 a.m. in the U.S."
    words = (
        "1984",
        "$1,000",
        "or",
        "50%",
        "on",
        "the",
        "21st",
        "at",
        "5",
        "a.m",
        "in",
        "the",
        "U.S",
    )
    assert tuple(word.text for word in Reference.from_text(text).words) == words


def test_a_text_may_come_with_phones_for_some_of_its_words() -> None:
    reference = Reference.from_text("Hi you.", phones=[["HH", "AY1"], None])
    assert [word.pronunciation for word in reference.words] == [("HH", "AY1"), None]


@pytest.mark.parametrize(
    ("text", "phones", "says"),
    [
        ("", None, "has no words"),
        (" … — ", None, "has no words"),
        ("(…)", None, "has no words"),
        ("a " * 1001, None, "has 1,001 words; the limit is 1,000"),
        ("a" * 65, None, "has a word of 65 characters"),
        ("a " * 10_001, None, "has 20,002 characters"),
        ("one two", [["W", "AH1", "N"]], "has 2 words, but phones are given for 1"),
        ("one", [["wun"]], 'has a phone "wun" for "one" that is not ARPAbet'),
        ("one", [[]], 'has no phones for "one"'),
    ],
)
def test_a_text_that_cannot_be_used_is_refused(
    text: str, phones: list[list[str]] | None, says: str
) -> None:
    with pytest.raises(ReferenceFormatError) as caught:
        Reference.from_text(text, phones=phones)
    assert caught.value.code == "reference_invalid"
    assert says in caught.value.message
