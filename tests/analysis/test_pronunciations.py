"""A word's phones: reference first, then dictionary, then letters."""

from collections.abc import Sequence

import pytest

from analysis.letters import number_words
from analysis.phones import PHONES, normalise_phones
from analysis.pronunciations import Pronunciation, normalise_word, pronounce, pronounce_text
from analysis.reference import ReferencePhone, ReferenceWord


def word(
    text: str, *, phones: Sequence[str] = (), pronunciation: tuple[str, ...] | None = None
) -> ReferenceWord:
    timed = tuple(
        ReferencePhone(phone=phone, stress=None, start=0.1 * i, end=0.1 * (i + 1))
        for i, phone in enumerate(phones)
    )
    return ReferenceWord(text=text, start=None, end=None, phones=timed, pronunciation=pronunciation)


def read(text: str) -> Pronunciation:
    """The pronunciations of a written word that has some."""
    said = pronounce_text(text)
    assert said is not None
    return said


def test_the_phone_set_is_the_39_of_the_dictionary() -> None:
    assert len(PHONES) == 39
    assert list(PHONES) == sorted(PHONES)


def test_the_pronunciation_that_the_reference_gives_wins_over_the_dictionary() -> None:
    said = pronounce(word("tomato", pronunciation=("T", "AH0", "M", "AA1", "T", "OW2")))
    assert said is not None
    assert said.variants == (("T", "AH", "M", "AA", "T", "OW"),)
    assert said.source == "reference"


def test_the_phones_of_a_timed_tier_win_over_the_dictionary() -> None:
    said = pronounce(word("either", phones=("AY", "DH", "ER")))
    assert said is not None
    assert said.variants == (("AY", "DH", "ER"),)
    assert said.source == "reference"


def test_phones_that_are_not_arpabet_fall_back_to_the_dictionary() -> None:
    said = pronounce(word("cat", phones=("k", "æ", "t̚")))
    assert said is not None
    assert said.variants[0] == ("K", "AE", "T")
    assert said.source == "dictionary"


def test_the_symbols_of_other_arpabets_are_folded_in() -> None:
    assert normalise_phones(["b", "AH1", "DX", "EL"]) == ("B", "AH", "D", "AH", "L")


def test_a_word_with_two_readings_keeps_both() -> None:
    assert set(read("read").variants) == {("R", "EH", "D"), ("R", "IY", "D")}


@pytest.mark.parametrize(
    ("written", "token"),
    [("Hello,", "hello"), ("It’s", "it's"), ("“Go!”", "go"), ("naïve", "naive"), ("'em", "'em")],
)
def test_case_quotes_accents_and_punctuation_do_not_hide_a_word(written: str, token: str) -> None:
    assert normalise_word(written) == token
    assert read(written).source == "dictionary"


def test_a_possessive_that_the_dictionary_lacks_takes_its_ending_from_the_last_sound() -> None:
    assert read("blick's").variants[0][-1] == "S"
    assert read("xerxes's").variants[0][-2:] == ("IH", "Z")


def test_a_hyphenated_word_is_read_part_by_part() -> None:
    assert read("seven-nosed").variants[0][:2] == ("S", "EH")


def test_an_unknown_word_is_read_by_its_letters_and_says_so() -> None:
    said = read("frobnicate")
    assert said.source == "letters"
    assert said.variants[0] == ("F", "R", "AA", "B", "N", "IH", "K", "EY", "T")


def test_numbers_are_read_as_words() -> None:
    assert number_words("1942") == ["one", "thousand", "nine", "hundred", "forty", "two"]
    assert number_words("007") == ["zero", "zero", "seven"]
    assert read("42").variants[0][:2] == ("F", "AO")


@pytest.mark.parametrize("text", ["안녕", "", "…", "12345678901234567890" * 3, "x" * 60])
def test_what_cannot_be_read_as_english_has_no_pronunciation(text: str) -> None:
    assert pronounce_text(text) is None
