"""An alignment as a value: words and phones with their place on the recording."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from analysis.heard import Heard
    from analysis.trellis import Path

# The native model, and the network that it taught, put a border before the change that is heard:
# 11 and 22 ms (medians over the words of the test fixtures, whose times are the synthesiser's).
# Alignments carry times with this added; `analysis.segments` takes it off again.
BORDER_SHIFT_S: Final = 0.02


@dataclass(frozen=True)
class AlignedPhone:
    """One phone on the recording; start and end in seconds."""

    phone: str
    start: float
    end: float


@dataclass(frozen=True)
class AlignedWord:
    """One reference word on the recording; `index` is its place in the reference."""

    index: int
    word: str
    start: float
    end: float
    phones: tuple[AlignedPhone, ...]


@dataclass(frozen=True, eq=False)
class Hearing:
    """What the network heard while it placed a line, and the path it found."""

    heard: Heard
    path: Path


@dataclass(frozen=True)
class Alignment:
    """The reference on the recording: one entry a reference word, None where not placed.

    Attributes
    ----------
    words : one for each word of the reference, in its order.
    method : what placed them: ``network``, ``native`` or ``none``.
    note : what was out of the ordinary, in a sentence; None when nothing was.
    hearing : of the network, when it placed the line, and then it scores it too.
    unsaid : indices of words that could be read and were found nowhere.
    """

    words: tuple[AlignedWord | None, ...]
    method: str
    note: str | None = None
    hearing: Hearing | None = field(default=None, repr=False, compare=False)
    unsaid: frozenset[int] = frozenset()

    @property
    def placed(self) -> tuple[AlignedWord, ...]:
        """The words that have a place, in order."""
        return tuple(word for word in self.words if word is not None)

    def without(self, indices: Collection[int]) -> Alignment:
        """Return the same without the places of these words: they were not said after all."""
        words = (None if index in indices else word for index, word in enumerate(self.words))
        return replace(self, words=tuple(words), unsaid=self.unsaid.union(indices))
