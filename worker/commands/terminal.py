"""What people see: tables that fit the terminal, and whole ones where there is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

PLAIN_WIDTH: Final = 400
"""Columns where output goes to a file or a program: nothing is cut."""


def console(*, to_stderr: bool = False) -> Console:
    """A console on standard output or standard error.

    What it shows is others' text: brackets in it are no style, and `:warning:` is no picture.
    """
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    made = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(
            file=stream,
            highlight=False,
            markup=False,
            emoji=False,
            width=PLAIN_WIDTH,
            no_color=True,
        )
    return made


def table(*headings: str, right: tuple[str, ...] = (), last_wraps: bool = False) -> Table:
    """An open table; the columns named in `right` hold numbers."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        is_last = heading == headings[-1]
        made.add_column(
            heading,
            justify="right" if heading in right else "left",
            no_wrap=not (is_last and last_wraps),
            overflow="ellipsis" if not (is_last and last_wraps) else "fold",
        )
    return made


def progress() -> Progress:
    """A progress bar on standard error, shown on a terminal only."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    err = console(to_stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )


def tick(told: bool | None) -> str:
    """yes, no, or a question mark."""
    return "?" if told is None else ("yes" if told else "no")
