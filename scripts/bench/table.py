"""Figures as tables: on the terminal, and in docs/benchmarks.md between two marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table

from scripts.bench.figure import Figure
from scripts.bench.machine import Machine

BEGIN: Final = "<!-- measured: what stands from here on is written by `make bench` -->"
END: Final = "<!-- measured: end -->"


class MarksError(ValueError):
    """The page has not the two marks, in their order, once each: nothing was written."""


def terminal(figures: Sequence[Figure], title: str) -> Table:
    """All figures, with a colour for those that are held to a bound."""
    table = Table(title=title, title_justify="left")
    for column in ("part", "figure", "median", "95 %", "unit", "bound", "runs"):
        table.add_column(column, justify="right" if column in {"median", "95 %"} else "left")
    for figure in figures:
        colour = "" if figure.bound is None else "green" if figure.is_met else "bold red"
        value = number(figure.value)
        table.add_row(
            figure.part,
            figure.name,
            f"[{colour}]{value}[/]" if colour else value,
            f"{number(figure.low)} – {number(figure.high)}",
            figure.unit,
            "" if figure.bound is None else f"{figure.bound}",
            str(figure.runs),
        )
    return table


def markdown(figures: Sequence[Figure], machine: Machine, skipped: Mapping[str, str]) -> str:
    """The generated half of the page: machine, a table for each part, what was left out."""
    rows = [f"Measured {machine.sentence()}.", ""]
    for part in dict.fromkeys(figure.part for figure in figures):
        found = [figure for figure in figures if figure.part == part]
        rows += [f"### {part}", "", *_part(found), ""]
    for part, reason in skipped.items():
        rows += [f"### {part}", "", f"Not measured: {reason}", ""]
    return "\n".join(rows)


def write_between_marks(page: Path, generated: str) -> None:
    """Replace what stands between the marks of a page; what people wrote around them stays.

    Raises
    ------
    MarksError
        The marks are not there.
    """
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise MarksError(f"{page.name} needs the lines {BEGIN!r} and {END!r}, once each")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{generated.strip()}\n\n{END}{after}")


def number(value: float) -> str:
    """Three digits that count, and no exponent."""
    if abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _part(figures: Sequence[Figure]) -> Iterator[str]:
    yield "| | median | 95 % interval | unit | bound | runs |"
    yield "|---|---:|---:|---|---|---:|"
    for figure in figures:
        interval = f"{number(figure.low)} – {number(figure.high)}"
        bound = ""
        if figure.bound is not None:
            bound = f"{figure.bound}: {'met' if figure.is_met else '**not met**'}"
        yield (
            f"| {figure.name} | {number(figure.value)} | {interval} | {figure.unit} | {bound} "
            f"| {figure.runs} |"
        )
