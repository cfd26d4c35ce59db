"""Numbers as they are read aloud: years and ordinals, money and clocks, as words."""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = (
    "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = (
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_SCALES: Final = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS: Final = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
CURRENCIES: Final = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
}
# Longer ones are said digit by digit, unless commas part their thousands.
_LONGEST_CARDINAL: Final = 6
_MOST: Final = 10**12

_WHOLE = r"\d{1,3}(?:,\d{3})+|\d+"
_AMOUNT = re.compile(rf"([$£€]?)({_WHOLE})(?:\.(\d+))?(%?)")
_ORDINAL = re.compile(rf"({_WHOLE})(?:st|nd|rd|th)")
_PLURAL = re.compile(rf"({_WHOLE})'?s")
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)")
_MIXED = re.compile(r"(?=.*\d)(?=.*[a-z])[a-z0-9]+")

Reading = list[str]


def readings(token: str) -> list[Reading]:
    """Return the ways in which a token with digits is said, the likeliest first; none if unknown.

    A word that ends in a dot is a letter's name, as the dictionary has it.

    >>> readings("1984")
    [['nineteen', 'eighty', 'four'], ['one', 'thousand', 'nine', 'hundred', 'eighty', 'four']]
    >>> readings("21st"), readings("1990s")[0], readings("3.5")
    ([['twenty', 'first']], ['nineteen', 'nineties'], [['three', 'point', 'five']])
    >>> readings("$1,000")[0], readings("50%"), readings("mp3")
    (['one', 'thousand', 'dollars'], [['fifty', 'percent']], [['m.', 'p.', 'three']])
    """
    if match := _AMOUNT.fullmatch(token):
        return _amount(*match.groups())
    if match := _ORDINAL.fullmatch(token):
        *head, last = _whole(match[1])
        return [[*head, _ordinal(last)]]
    if match := _PLURAL.fullmatch(token):
        return [[*head, _plural(last)] for *head, last in _plain(match[1])]
    if match := _CLOCK.fullmatch(token):
        return _clock(_cardinal(int(match[1])), int(match[2]))
    if _MIXED.fullmatch(token):
        return [_mixed(re.findall(r"\d+|[a-z]+", token))]
    return []


def number_words(digits: str) -> Reading:
    """Return the words of a cardinal number; beyond six digits, digit by digit."""
    if len(digits) > _LONGEST_CARDINAL or (len(digits) > 1 and digits[0] == "0"):
        return _by_digits(digits)
    return _cardinal(int(digits))


def _amount(sign: str, whole: str, part: str | None, percent: str) -> list[Reading]:
    if sign:
        return _money(sign, whole, part)
    if part is not None:
        found = [[*_whole(whole), "point", *_by_digits(part)]]
        if whole == "0":
            found.append(found[0][1:])
    else:
        found = [_whole(whole)] if percent else _plain(whole)
    return [[*words, "percent"] for words in found] if percent else found


def _money(sign: str, whole: str, part: str | None) -> list[Reading]:
    unit, units, cent, cents = CURRENCIES[sign]
    words = _whole(whole)
    sum_of_units = [*words, unit if words == ["one"] else units]
    if part is None or part == "00":
        # Without the unit too: before "million" it is said after that.
        return [sum_of_units, words]
    if len(part) != len("00"):
        decimal = [*words, "point", *_by_digits(part)]
        return [[*decimal, units], decimal]
    rest = _cardinal(int(part))
    sum_of_cents = [*rest, cent if rest == ["one"] else cents]
    if words == ["zero"]:
        return [sum_of_cents]
    return [
        [*words, *_after_hours(int(part))],
        [*sum_of_units, "and", *sum_of_cents],
        [*sum_of_units, *rest],
    ]


def _plain(whole: str) -> list[Reading]:
    """Return how a number is said of which nothing tells what it counts."""
    found = [_whole(whole)]
    if len(whole) == len("1984") and whole.isdigit() and (year := _year(int(whole))):
        found.insert(0, year)
    if found[0] == _by_digits(whole.replace(",", "")) and "zero" in found[0]:
        found.append(["oh" if word == "zero" else word for word in found[0]])
    return found


def _year(value: int) -> Reading | None:
    century, rest = divmod(value, 100)
    if not 10 <= century <= 20 or (century in (10, 20) and rest < 10):
        return None
    return [*_cardinal(century), *(_after_hours(rest) if rest else ["hundred"])]


def _clock(hour: Reading, minutes: int) -> list[Reading]:
    if minutes == 0:
        return [[*hour, "o'clock"], hour]
    return [[*hour, *_after_hours(minutes)]]


def _after_hours(value: int) -> Reading:
    """Return two digits as they follow an hour, a century or dollars: "oh five", "fifteen"."""
    return ["oh", *_cardinal(value)] if value < 10 else _cardinal(value)


def _mixed(runs: list[str]) -> Reading:
    words: Reading = []
    for at, run in enumerate(runs):
        if run.isdigit():
            words += number_words(run)
        elif run == "s" and at == len(runs) - 1:
            words[-1] = _plural(words[-1])
        elif run in ("am", "pm") or not set(run) & set("aeiouy") or len(run) == 1:
            words += [f"{letter}." for letter in run]
        else:
            words.append(run)
    return words


def _whole(digits: str) -> Reading:
    value = int(digits.replace(",", ""))
    if "," in digits and value < _MOST:
        return _cardinal(value)
    return number_words(digits.replace(",", ""))


def _cardinal(value: int) -> Reading:
    for scale, name in _SCALES:
        if value >= scale:
            head, rest = divmod(value, scale)
            return [*_cardinal(head), name, *(_cardinal(rest) if rest else [])]
    if value >= 20:
        head, rest = divmod(value, 10)
        return [_TENS[head], *([_DIGITS[rest]] if rest else [])]
    return [_TEENS[value - 10] if value >= 10 else _DIGITS[value]]


def _by_digits(digits: str) -> Reading:
    return [_DIGITS[int(digit)] for digit in digits]


def _ordinal(word: str) -> str:
    if word in _ORDINALS:
        return _ORDINALS[word]
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"


def _plural(word: str) -> str:
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("x") else f"{word}s"
