"""Measure what the worker and its core cost, in one run on one machine.

    make bench                                  all parts; writes docs/benchmarks.md
    make bench BENCH_ARGS="--parts core,start"  some; prints only
    make bench-quick                            a few, short, against what was recorded

`--record` keeps the ratios in scripts/bench/recorded.json. Exits 1 if a part could not run; a
bound that is not met, or a ratio that moved, is printed and fails nothing: machines differ.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scripts.bench import record, table
from scripts.bench.figure import Figure
from scripts.bench.machine import Machine
from scripts.bench.parts import PARTS, Part
from scripts.child_process import NotInstalledError

PAGE: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "benchmarks.md"
LOG_COLUMNS: Final = 130
"""Where nobody's terminal says how wide it is."""


@dataclass
class Outcome:
    """What came of a run."""

    figures: list[Figure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run(parts: Sequence[Part], *, runs: int | None, quick: bool, console: Console) -> Outcome:
    """Run one part after the other; one that is not installed is skipped, and says so."""
    outcome = Outcome()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for part in parts:
            task = progress.add_task(f"{part.name}: {part.about}", total=None)
            began = time.monotonic()
            try:
                outcome.figures += _measured(part, runs, quick=quick)
                said = f"measured in {time.monotonic() - began:.0f} s"
            except NotInstalledError as error:
                outcome.skipped[part.name] = said = str(error)
            except Exception as error:
                console.print_exception()
                outcome.failed[part.name] = said = f"failed: {error!r}"
            progress.update(task, description=f"{part.name}: {said}", total=1, completed=1)
    return outcome


def _measured(part: Part, runs: int | None, *, quick: bool) -> Sequence[Figure]:
    if importlib.util.find_spec(f"scripts.bench.{part.name}") is None:
        raise NotInstalledError(f"there is no scripts/bench/{part.name}.py")
    if quick:
        return part.measure(runs or part.quick_runs or 1, **part.quick)
    return part.measure(runs or part.runs)


def chosen(names: str | None, *, quick: bool) -> list[Part]:
    """The parts of a comma-separated list, or those of the mode. Raises ValueError."""
    if names is None:
        return [part for part in PARTS if not quick or part.quick_runs is not None]
    by_name = {part.name: part for part in PARTS}
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in by_name]:
        raise ValueError(f"no part {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write, compare."""
    parser = argparse.ArgumentParser(
        prog="scripts.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", help="comma-separated; all of the mode without it")
    parser.add_argument("--runs", type=int, help="of every part; each has its own number")
    parser.add_argument("--quick", action="store_true", help="short, against what was recorded")
    parser.add_argument("--record", action="store_true", help="keep the ratios")
    parser.add_argument("--page", type=Path, help=f"write into this page too, as {PAGE.name}")
    options = parser.parse_args(arguments)
    # Else a time limit's SIGTERM would leave the servers of a part running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        parts = chosen(options.parts, quick=options.quick)
    except ValueError as error:
        parser.error(str(error))
    console = Console() if sys.stdout.isatty() else Console(width=LOG_COLUMNS)
    machine = Machine.here()
    outcome = run(parts, runs=options.runs, quick=options.quick, console=Console(stderr=True))
    console.print(table.terminal(outcome.figures, machine.sentence()))
    for name, reason in (outcome.skipped | outcome.failed).items():
        console.print(f"{name}: {reason}", style="yellow", markup=False)
    mode: record.Mode = "quick" if options.quick else "whole"
    for sentence in record.compare(record.read(mode), outcome.figures).sentences():
        console.print(sentence, highlight=False, markup=False)
    page = options.page or (None if options.quick or options.parts else PAGE)
    if page is not None:
        unmeasured = outcome.skipped | outcome.failed
        table.write_between_marks(page, table.markdown(outcome.figures, machine, unmeasured))
    if options.record:
        record.write(mode, outcome.figures, machine)
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
