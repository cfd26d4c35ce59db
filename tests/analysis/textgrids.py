"""TextGrids as the programs that write them lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Marked = tuple[float, float, str]


@dataclass(frozen=True)
class GridTier:
    """A tier to be written; with `points` it is a point tier."""

    name: str
    intervals: Sequence[Marked] = ()
    points: Sequence[tuple[float, str]] | None = None
    size: int | None = None


HELLO: tuple[Marked, ...] = ((0.0, 0.2, ""), (0.2, 0.6, "Hello"), (0.6, 1.0, "you"), (1.0, 1.3, ""))
HELLO_PHONES: tuple[Marked, ...] = (
    (0.0, 0.2, "sil"),
    (0.2, 0.3, "HH"),
    (0.3, 0.4, "AH0"),
    (0.4, 0.5, "L"),
    (0.5, 0.6, "OW1"),
    (0.6, 0.7, "Y"),
    (0.7, 1.0, "UW1"),
    (1.0, 1.3, "sp"),
)


def long_text(
    *tiers: GridTier, start: float = 0.0, end: float = 1.3, tier_start: float | None = None
) -> str:
    """Praat's "Save as text file"."""
    inner = start if tier_start is None else tier_start
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        f"xmin = {start} ",
        f"xmax = {end} ",
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []: ",
    ]
    for number, tier in enumerate(tiers, 1):
        entries = tier.intervals if tier.points is None else tier.points
        size = len(entries) if tier.size is None else tier.size
        kind, what = ("Interval", "intervals") if tier.points is None else ("Text", "points")
        lines += [
            f"    item [{number}]:",
            f'        class = "{kind}Tier" ',
            f'        name = "{quoted(tier.name)}" ',
            f"        xmin = {inner} ",
            f"        xmax = {end} ",
            f"        {what}: size = {size} ",
        ]
        for index, (left, right, mark) in enumerate(tier.intervals, 1):
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {left} ",
                f"            xmax = {right} ",
                f'            text = "{quoted(mark)}" ',
            ]
        for index, (at, mark) in enumerate(tier.points or (), 1):
            lines += [
                f"        points [{index}]:",
                f"            number = {at} ",
                f'            mark = "{quoted(mark)}" ',
            ]
    return "\n".join(lines) + "\n"


def short_text(*tiers: GridTier, start: float = 0.0, end: float = 1.3) -> str:
    """Praat's "Save as short text file"."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [str(start), str(end), "<exists>", str(len(tiers))]
    for tier in tiers:
        kind = "IntervalTier" if tier.points is None else "TextTier"
        entries = tier.intervals if tier.points is None else tier.points
        lines += [f'"{kind}"', f'"{quoted(tier.name)}"', str(start), str(end)]
        lines += [str(len(entries) if tier.size is None else tier.size)]
        for left, right, mark in tier.intervals:
            lines += [str(left), str(right), f'"{quoted(mark)}"']
        for at, mark in tier.points or ():
            lines += [str(at), f'"{quoted(mark)}"']
    return "\n".join(lines) + "\n"


def quoted(mark: str) -> str:
    return mark.replace('"', '""')


def words_and_phones(**times: float) -> str:
    """The line "Hello you" as an aligner writes it."""
    return long_text(GridTier("words", HELLO), GridTier("phones", HELLO_PHONES), **times)


def later(intervals: Sequence[Marked], offset: float) -> tuple[Marked, ...]:
    return tuple((left + offset, right + offset, mark) for left, right, mark in intervals)
