"""A word's phones: reference first, then dictionary, then letters."""

import doctest
from collections.abc import Sequence

import pytest

from analysis import numerals
from analysis.numerals import number_words
from analysis.phones import PHONES, normalise_phones
from analysis.pronunciations import Pronunciation, normalise_word, pronounce, pronounce_text
from analysis.reference_words import ReferencePhone, ReferenceWord


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


def test_the_examples_of_numbers_in_the_docstrings_hold() -> None:
    result = doctest.testmod(numerals)
    assert result.attempted >= 3
    assert result.failed == 0


def said_as(text: str, words: str) -> bool:
    """Whether these words of the dictionary are one of the ways in which a token is said."""
    phones = tuple(phone for word in words.split() for phone in read(word).variants[0])
    return phones in read(text).variants


@pytest.mark.parametrize(
    ("token", "first"),
    [
        ("1,000", "one thousand"),
        ("2,500,000", "two million five hundred thousand"),
        ("12,345", "twelve thousand three hundred forty five"),
        ("1984", "nineteen eighty four"),
        ("1905", "nineteen oh five"),
        ("1900", "nineteen hundred"),
        ("2020", "twenty twenty"),
        ("2005", "two thousand five"),
        ("3.5", "three point five"),
        ("3.14", "three point one four"),
        ("0.5", "zero point five"),
        ("1st", "first"),
        ("2nd", "second"),
        ("21st", "twenty first"),
        ("20th", "twentieth"),
        ("12th", "twelfth"),
        ("1990s", "nineteen nineties"),
        ("'90s", "nineties"),
        ("90's", "nineties"),
        ("1,000th", "one thousandth"),
        ("$5", "five dollars"),
        ("$1", "one dollar"),
        ("$5.50", "five fifty"),
        ("$0.99", "ninety nine cents"),
        ("£1,000", "one thousand pounds"),
        ("€3", "three euros"),
        ("50%", "fifty percent"),
        ("3.5%", "three point five percent"),
        ("3:30", "three thirty"),
        ("3:05", "three oh five"),
        ("3:00", "three o'clock"),
        ("MP3", "m p three"),
        ("B2B", "b two b"),
        ("10am", "ten a.m."),
        ("20-year-old", "twenty year old"),
        ("007", "zero zero seven"),
    ],
)
def test_numbers_are_read_as_they_are_said(token: str, first: str) -> None:
    assert said_as(token, first)
    assert read(token).variants[0] == tuple(
        phone for word in first.split() for phone in read(word).variants[0]
    )
    assert read(token).source == "letters"


@pytest.mark.parametrize(
    ("token", "also"),
    [
        ("1984", "one thousand nine hundred eighty four"),
        ("2020", "two thousand twenty"),
        ("0.5", "point five"),
        ("007", "oh oh seven"),
        ("$5.50", "five dollars and fifty cents"),
        ("$5", "five"),  # "$5 million"
    ],
)
def test_a_number_that_is_said_in_two_ways_has_both(token: str, also: str) -> None:
    assert said_as(token, also)


@pytest.mark.parametrize(
    ("written", "phones"),
    [
        ("U.S.", "Y UW EH S"),
        ("U.S", "Y UW EH S"),
        ("a.m.", "EY EH M"),
        ("L.A.", "EH L EY"),
        ("C.I.A", "S IY AY EY"),
        ("e.g.", "IY JH IY"),
        ("Ph.D.", "P IY EY CH D IY"),
        ("A-B-C", "EY B IY S IY"),
        ("U.S.-led", "Y UW EH S L EH D"),
        ("R&B", "AA R AH N D B IY"),
        ("AT&T", "EY T IY AH N D T IY"),
    ],
)
def test_letters_in_a_row_are_said_by_their_names(written: str, phones: str) -> None:
    assert read(written).variants == (tuple(phones.split()),)


@pytest.mark.parametrize(
    ("written", "phones"),
    [
        ("w-what", "W W AH T"),
        ("th-that", "DH DH AE T"),
        ("s-stop", "S S T AA P"),
        ("t-t-today", "T T T AH D EY"),
        ("wha-what", "W AH W AH T"),
        ("i-it", "IH IH T"),
        ("I-I", "AY AY"),
    ],
)
def test_a_word_begun_more_than_once_repeats_its_beginning(written: str, phones: str) -> None:
    assert read(written).variants[0] == tuple(phones.split())


def test_a_letter_that_a_word_begins_with_may_be_its_name_too() -> None:
    assert ("D", "IY", "D", "EY") in read("D-Day").variants
    assert read("T-shirt").variants == (("T", "IY", "SH", "ER", "T"),)
    assert read("re-read").variants[0][:2] == ("R", "EY")


def test_a_repeated_letter_that_is_a_word_may_be_said_as_it() -> None:
    assert read("a-a").variants == (("EY", "EY"), ("AH", "AH"))
    assert read("A-B-C").variants == (("EY", "B", "IY", "S", "IY"),)


@pytest.mark.parametrize("text", ["안녕", "", "…", "12345678901234567890" * 3, "x" * 60])
def test_what_cannot_be_read_as_english_has_no_pronunciation(text: str) -> None:
    assert pronounce_text(text) is None
