"""Ratios that were recorded, and what has moved since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from scripts.bench.figure import Figure
from scripts.bench.machine import Machine

RECORDED: Final = Path(__file__).parent / "recorded.json"
RATIO: Final = "×"
NOTICEABLE: Final = 0.15
"""A ratio that moved by more than this share is told; less is within what runs differ by."""

Mode = Literal["whole", "quick"]
"""Few short runs have ratios of their own: they are held against few short runs."""


@dataclass(frozen=True)
class Moved:
    """A ratio that is no longer what it was."""

    name: str
    before: float
    now: float
    is_worse: bool | None
    """None where no bound says which way is better."""

    @property
    def share(self) -> float:
        """By how much of what it was."""
        return self.now / self.before - 1.0


@dataclass(frozen=True)
class Comparison:
    """Today's ratios against the recorded ones.

    Attributes
    ----------
    moved : by more than 15 %.
    steady : how many did not.
    unknown : measured now, not recorded.
    missing : recorded, of a part that was measured now, and not among its figures.
    """

    moved: tuple[Moved, ...]
    steady: int
    unknown: tuple[str, ...]
    missing: tuple[str, ...]

    def sentences(self) -> Iterator[str]:
        """Say what there is to say, a line each."""
        for one in self.moved:
            which = {True: ", for the worse", False: ", for the better", None: ""}[one.is_worse]
            change = f"from {one.before:.3g} to {one.now:.3g} ({one.share:+.0%})"
            yield f"moved: {one.name} {change}{which}"
        for name in self.unknown:
            yield f"not recorded: {name}; record it with --record"
        for name in self.missing:
            yield f"recorded, and not measured now: {name}"
        yield f"{self.steady} of {self.steady + len(self.moved)} ratios within {NOTICEABLE:.0%}"


def compare(recorded: Mapping[str, float], figures: Sequence[Figure]) -> Comparison:
    """Hold the ratios among `figures` against `recorded`, names to values."""
    ratios = {_name(figure): figure for figure in figures if figure.unit == RATIO}
    parts = {figure.part for figure in figures}
    moved = tuple(
        Moved(name, recorded[name], figure.value, _is_worse(recorded[name], figure))
        for name, figure in ratios.items()
        if name in recorded and abs(figure.value / recorded[name] - 1.0) > NOTICEABLE
    )
    return Comparison(
        moved=moved,
        steady=sum(name in recorded for name in ratios) - len(moved),
        unknown=tuple(name for name in ratios if name not in recorded),
        missing=tuple(
            name for name in recorded if name.partition(": ")[0] in parts and name not in ratios
        ),
    )


def read(mode: Mode, path: Path = RECORDED) -> dict[str, float]:
    """Read the ratios that were recorded in one mode; none if there is no record."""
    return {
        name: float(value) for name, value in _load(path).get(mode, {}).get("ratios", {}).items()
    }


def write(mode: Mode, figures: Sequence[Figure], machine: Machine, path: Path = RECORDED) -> None:
    """Record the ratios of the parts that were measured; those of other parts stay."""
    record = _load(path)
    parts = {figure.part for figure in figures}
    kept = {
        name: value
        for name, value in record.get(mode, {}).get("ratios", {}).items()
        if name.partition(": ")[0] not in parts
    }
    now = {_name(figure): round(figure.value, 4) for figure in figures if figure.unit == RATIO}
    record[mode] = {"machine": asdict(machine), "ratios": dict(sorted((kept | now).items()))}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _name(figure: Figure) -> str:
    return f"{figure.part}: {figure.name}"


def _is_worse(before: float, figure: Figure) -> bool | None:
    if figure.bound is None:
        return None
    return (figure.value > before) == (figure.bound.kind != ">=")


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    record: dict[str, Any] = json.loads(path.read_text())
    return record
