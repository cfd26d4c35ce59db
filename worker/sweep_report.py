"""What a sweep did, in numbers, and what its repairs work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.results import ResultStore
    from worker.sinks import Sinks


@dataclass
class SweepReport:
    """What a sweep did."""

    answered: int = 0
    """Silent dead letters whose consumer was told."""
    marked: int = 0
    """Silent dead letters with nobody to tell, or who would not be told."""
    recovered: int = 0
    """Silent dead letters whose result was there, and is delivered now or was already."""
    resent: int = 0
    """Stored results that were delivered."""
    given_up: int = 0
    """Stored results whose consumer wants them no more (410, refused, rejected)."""
    later: int = 0
    """What could not be delivered now; the next sweep tries again."""
    expired: int = 0
    """Objects deleted for their age."""
    errors: int = 0
    """Things that AWS refused, or that failed as nobody foresaw."""

    def as_dict(self) -> dict[str, int]:
        """The numbers by name."""
        return asdict(self)


@dataclass(frozen=True)
class Deliverer:
    """Where events go, and what results there are to deliver."""

    sinks: Sinks
    results: ResultStore | None
    bulky: Sequence[str]
    """What is left out of an event that is too large."""
    report: SweepReport
