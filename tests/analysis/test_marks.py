"""What marks mean: the examples in the docstrings, and the cases that they leave out."""

from __future__ import annotations

import doctest

import pytest

from analysis import marks
from analysis.phones import PHONES


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(marks)
    assert result.attempted >= 3
    assert result.failed == 0


@pytest.mark.parametrize("phone", PHONES)
def test_each_phone_of_the_dictionary_is_read_and_written_back(phone: str) -> None:
    parsed = marks.parse_arpabet(phone.lower())
    assert parsed == ((phone, None),)
    assert marks.write_arpabet(*parsed[0]) == phone


@pytest.mark.parametrize("mark", ["", "1", "AH3", "AH0 ", "K1", "QQ", "AH_X", "ə", "AH0AH0"])
def test_only_arpabet_is_read(mark: str) -> None:
    # Consonants carry no stress, and blanks around a mark do not count.
    expected = {"AH0 ": (("AH", 0),), "K1": (("K", None),)}
    assert marks.parse_arpabet(mark) == expected.get(mark)
