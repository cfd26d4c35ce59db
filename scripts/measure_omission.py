"""Measure what becomes of words, and of whole lines, that were not said, on people's own voices.

Lines are broken off, begun late, played backwards and asked for as another; one word of each is
silenced or cut out. Prints how many lines are told from their text, what the others score, and how
many of those words are told or score low.

    python scripts/measure_omission.py FOLDER [--lines 361] [--json]

FOLDER holds ``audio/ID.flac`` and ``labels.jsonl`` with ``id``, ``text`` and ``words`` (``phones``
each), as the training half of speechocean762 is laid out in docs/scoring.md.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.reference import Reference
from analysis.result import AnalysisResult
from analysis.scoring import score
from worker.pool import set_environment

SEED: Final = 3
LEAST_WORDS: Final = 4
LOW: Final = 50.0
SHORT_PHONES: Final = 2
"""A word of so many phones is counted apart: of many nothing is left in good speech."""


@dataclass(frozen=True)
class Heard:
    """One recording beside a text that it does not bear in full.

    `word` is the one that was not said, of so many phones; None where it is not one alone.
    """

    case: str
    result: AnalysisResult
    word: int | None = None
    phones: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=361)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    set_environment()
    labels = [json.loads(line) for line in (options.folder / "labels.jsonl").open()]
    labels = [label for label in labels if len(label["words"]) >= LEAST_WORDS]
    labels = labels[:: max(1, len(labels) // options.lines)][: options.lines]
    draw = random.Random(SEED)
    heard: list[Heard] = []
    for place, label in enumerate(track(labels, description="lines", console=Console(stderr=True))):
        other = labels[(place + len(labels) // 2) % len(labels)]
        recording = Recording.from_file(options.folder / "audio" / f"{label['id']}.flac")
        heard += hear(recording, label["words"], other["words"], draw)
    found = {"lines": told_lines(heard), "words": told_words(heard)}
    if options.json:
        print(json.dumps(found))
        return 0
    console = Console()
    for title, rows in found.items():
        table = Table(title=f"{title} that were not said, of {len(labels)} lines")
        for column in rows[0]:
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        console.print(table)
    return 0


def hear(
    recording: Recording, words: Sequence[Any], other: Sequence[Any], draw: random.Random
) -> Iterator[Heard]:
    """Score a line as it is, and what is made of it."""
    text, samples = _reference(words), recording.samples
    whole = score(recording, text)
    yield Heard("whole", whole)
    yield Heard("backwards", _scored(samples[::-1], text))
    if not {word["text"] for word in words} & {word["text"] for word in other}:
        yield Heard("asked for as another", score(recording, _reference(other)))
    spans = [word.user for word in whole.words]
    if None in spans:
        return
    starts = [int(span.start * SAMPLE_RATE_HZ) for span in spans if span]
    ends = [int(span.end * SAMPLE_RATE_HZ) for span in spans if span]
    half = (len(words) + 1) // 2
    yield Heard("last word cut off", _scored(samples[: starts[-1]], text))
    yield Heard("last three cut off", _scored(samples[: starts[-3]], text))
    yield Heard("second half cut off", _scored(samples[: starts[half]], text))
    yield Heard("first half cut off", _scored(samples[starts[half] :], text))
    yield Heard("first word alone", _scored(samples[: starts[1]], text))
    at = draw.randrange(len(words))
    silenced = samples.copy()
    silenced[starts[at] : ends[at]] = 0.0
    phones = len(words[at]["phones"])
    yield Heard("silenced", _scored(silenced, text), at, phones)
    joined = np.concatenate((samples[: starts[at]], samples[ends[at] :]))
    yield Heard("cut out", _scored(joined, text), at, phones)


def told_lines(heard: Sequence[Heard]) -> list[dict[str, Any]]:
    """Return a row for each case of lines: what is told of it, and what the rest scores."""
    rows = []
    for case in dict.fromkeys(one.case for one in heard if one.word is None):
        results = [one.result for one in heard if one.case == case]
        codes = [result.feedback[0].code if result.feedback else "" for result in results]
        scored = [
            (r.scores.overall, r.scores.completeness or 0.0)
            for r, code in zip(results, codes, strict=True)
            if r.scores.overall is not None and code not in ("wrong_text", "no_speech")
        ]
        overall = [one for one, _ in scored]
        rows.append(
            {
                "case": case,
                "lines": len(results),
                "null": sum(result.scores.overall is None for result in results),
                "wrong_text": codes.count("wrong_text"),
                "no_speech": codes.count("no_speech"),
                "completeness": round(mean(share for _, share in scored)) if scored else None,
                "median": round(median(overall)) if scored else None,
                "highest": round(max(overall)) if scored else None,
            }
        )
    return rows


def told_words(heard: Sequence[Heard]) -> list[dict[str, Any]]:
    """Return a row for each case of words, short and longer: how many are told, or score low."""
    rows = []
    for case in dict.fromkeys(one.case for one in heard if one.word is not None):
        for name, is_short in (("one or two", True), ("three and more", False)):
            own = [
                one.result.words[one.word]
                for one in heard
                if one.word is not None
                and one.case == case
                and (one.phones <= SHORT_PHONES) is is_short
            ]
            if not own:
                continue
            scores = [word.scores.pronunciation or 0.0 for word in own]
            rows.append(
                {
                    "case": case,
                    "phones": name,
                    "words": len(own),
                    "omitted": f"{mean(word.status == 'omitted' for word in own):.0%}",
                    f"below {LOW:.0f}": f"{mean(one < LOW for one in scores):.0%}",
                    "mean": round(mean(scores)),
                }
            )
    return rows


def _reference(words: Sequence[Any]) -> Reference:
    text = " ".join(word["text"] for word in words)
    return Reference.from_text(text, phones=[word["phones"] for word in words])


def _scored(samples: NDArray[np.float32], reference: Reference) -> AnalysisResult:
    return score(Recording.from_samples(samples, SAMPLE_RATE_HZ), reference)


if __name__ == "__main__":
    sys.exit(main())
