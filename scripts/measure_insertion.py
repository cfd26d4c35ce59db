"""Measure how well speech beside the line is heard, on people's own voices.

Words are left out of a line's text, so that the recording, as it is, says more than the text: real
speech without a seam. Prints how many such stretches are found, by their length, and how many lines
are said to hold other speech with the text that they were read from.

    python scripts/measure_insertion.py FOLDER [--lines 600] [--json]

FOLDER holds ``audio/ID.flac`` and labels with ``id`` and ``words`` (``text`` and ``phones`` each),
as the training half of speechocean762 is laid out in docs/scoring.md. What is noted there with the
full text is no plain error: readers say words twice, and others speak in the room.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from analysis.audio import Recording
from analysis.reference import Reference
from analysis.result import AnalysisResult
from analysis.scoring import score
from worker.pool import set_environment

SEED: Final = 7
LABELS: Final = ("labels.jsonl", "labels-phones.jsonl")
MOST_WORDS: Final = 3
"""Left out of one text, at the most; at least as many stay."""
EDGES_S: Final = (0.2, 0.35, 0.5, 0.8, 1.2)
"""Lengths by which the stretches are told apart, from each to the next."""
OVERLAP: Final = 0.5
"""The share of a stretch that must be covered for it to count as found."""


@dataclass(frozen=True)
class Stretch:
    """One stretch of speech that a text lacks, and whether it was found."""

    seconds: float
    is_found: bool
    # By how many points each other word's score fell: beside the stretch, and farther away.
    lowered_beside: tuple[float, ...]
    lowered_farther: tuple[float, ...]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    set_environment()
    draw = random.Random(SEED)
    rows = [json.loads(line) for name in LABELS for line in (options.folder / name).open()]
    draw.shuffle(rows)
    rows = [row for row in rows if len(row["words"]) > MOST_WORDS][: options.lines]
    noted = 0
    stretches: list[Stretch] = []
    for row in track(rows, description="lines", console=Console(stderr=True)):
        recording = Recording.from_file(options.folder / "audio" / f"{row['id']}.flac")
        whole = _scored(recording, row["words"])
        noted += bool(whole.insertions)
        stretches += _left_out(recording, row["words"], whole, draw)
    found = [(name, *_share(stretches, low, high)) for name, low, high in _ranges()]
    lowered = {
        "lowered_beside": mean(x for one in stretches for x in one.lowered_beside),
        "lowered_farther": mean(x for one in stretches for x in one.lowered_farther),
    }
    if options.json:
        print(json.dumps({"lines": len(rows), "noted": noted, "found": found, **lowered}))
        return 0
    table = Table(title=f"{len(rows)} lines, {len(stretches)} stretches left out of their texts")
    for column in ("length", "stretches", "found"):
        table.add_column(column)
    for name, count, share in found:
        table.add_row(name, str(count), f"{share:.0%}" if count else "–")
    console = Console()
    console.print(table)
    console.print(f"With the text that was read, {noted / len(rows):.1%} of the lines are noted.")
    console.print(
        f"Words beside a stretch lose {lowered['lowered_beside']:.1f} points on average, others "
        f"{lowered['lowered_farther']:.1f}."
    )
    return 0


def _left_out(
    recording: Recording, words: Sequence[Any], whole: AnalysisResult, draw: random.Random
) -> Iterator[Stretch]:
    count = draw.randint(1, MOST_WORDS)
    first = draw.randrange(len(words) - count + 1)
    spans = [word.user for word in whole.words[first : first + count]]
    if spans[0] is None or spans[-1] is None:
        return
    start, end = spans[0].start, spans[-1].end
    result = _scored(recording, [*words[:first], *words[first + count :]])
    covered = sum(max(0.0, min(end, one.end) - max(start, one.start)) for one in result.insertions)
    others = [*whole.words[:first], *whole.words[first + count :]]
    beside: list[float] = []
    farther: list[float] = []
    for place, (before, after) in enumerate(zip(others, result.words, strict=True)):
        if before.scores.pronunciation is None or after.scores.pronunciation is None:
            continue
        lowered = before.scores.pronunciation - after.scores.pronunciation
        (beside if place in {first - 1, first} else farther).append(lowered)
    yield Stretch(end - start, covered >= OVERLAP * (end - start), tuple(beside), tuple(farther))


def _scored(recording: Recording, words: Sequence[Any]) -> AnalysisResult:
    text = " ".join(word["text"] for word in words)
    return score(recording, Reference.from_text(text, phones=[word["phones"] for word in words]))


def _ranges() -> Iterator[tuple[str, float, float]]:
    yield f"under {EDGES_S[0]} s", 0.0, EDGES_S[0]
    for low, high in pairwise(EDGES_S):
        yield f"{low} to {high} s", low, high
    yield f"{EDGES_S[-1]} s and more", EDGES_S[-1], float("inf")


def _share(stretches: Sequence[Stretch], low: float, high: float) -> tuple[int, float]:
    chosen = [one.is_found for one in stretches if low <= one.seconds < high]
    return len(chosen), sum(chosen) / len(chosen) if chosen else 0.0


if __name__ == "__main__":
    sys.exit(main())
