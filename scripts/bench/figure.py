"""A measured figure: its median, its 95 % interval, and the bound that it is held to."""

from __future__ import annotations

import operator
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeVar

T = TypeVar("T")

RESAMPLES: Final = 2000
LOW, HIGH = 0.025, 0.975
SEED: Final = 20

_COMPARED: Final = {"<": operator.lt, "<=": operator.le, ">=": operator.ge}
_SIGNS: Final = {"<": "<", "<=": "≤", ">=": "≥"}


@dataclass(frozen=True)
class Bound:
    """What a figure must not exceed, or must reach."""

    kind: Literal["<", "<=", ">="]
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return bool(_COMPARED[self.kind](value, self.limit))

    def __str__(self) -> str:
        return f"{_SIGNS[self.kind]} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    `value` is the median over the runs; `low` and `high` its 95 % interval by bootstrap (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: percentiles).
    """

    part: str
    name: str
    unit: str
    """`×` for a ratio: what moves least between machines, and what is recorded."""
    value: float
    low: float
    high: float
    runs: int
    bound: Bound | None = None

    @classmethod
    def of(
        cls, part: str, name: str, unit: str, values: Sequence[float], bound: Bound | None = None
    ) -> Self:
        """Summarise the runs of one figure."""
        low, high = _interval(values)
        return cls(part, name, unit, statistics.median(values), low, high, len(values), bound)

    @classmethod
    def ratio(
        cls,
        part: str,
        name: str,
        above: Sequence[float],
        below: Sequence[float],
        bound: Bound | None = None,
    ) -> Self:
        """The ratio of two things that were run in turn, pair by pair."""
        pairs = [a / b for a, b in zip(above, below, strict=True)]
        return cls.of(part, name, "×", pairs, bound)

    @property
    def is_met(self) -> bool:
        """Whether the median keeps to the bound; without one, yes."""
        return self.bound is None or self.bound.holds(self.value)


def interleaved(runs: int, things: Mapping[str, Callable[[], T]]) -> Iterator[tuple[str, T]]:
    """Run each thing once a round, the order turned from round to round; yields as they end.

    What the machine does meanwhile then falls on all of them alike.
    """
    names = list(things)
    for round_number in range(runs):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            yield name, things[name]()


def _interval(values: Sequence[float]) -> tuple[float, float]:
    draw = random.Random(SEED)
    medians = sorted(
        statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return medians[int(LOW * RESAMPLES)], medians[int(HIGH * RESAMPLES) - 1]
