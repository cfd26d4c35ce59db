"""The words of a line and their phones, as they stand in its reference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReferencePhone:
    """A phone of the reference in time: ARPAbet without stress, stress digit, seconds."""

    phone: str
    stress: int | None
    start: float
    end: float


@dataclass(frozen=True)
class ReferenceWord:
    """A word of the line.

    Attributes
    ----------
    text : str
        As given, without the punctuation around it.
    start, end : float or None
        Seconds from the start of the clip; None when the reference is text alone.
    phones : tuple of ReferencePhone
        In time; empty when the reference has none for this word.
    pronunciation : tuple of str, or None
        ARPAbet with stress digits as given; None when the reference does not say it.
    """

    text: str
    start: float | None = None
    end: float | None = None
    phones: tuple[ReferencePhone, ...] = ()
    pronunciation: tuple[str, ...] | None = None
