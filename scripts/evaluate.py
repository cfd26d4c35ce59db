"""Compare the scores of the core with experts' on a folder in the form of speechocean762.

`python scripts/evaluate.py ../shared/data/so762-train` prints correlations at phone, word and
utterance level. Numbers for lines that the shipped network was trained on flatter it: what it
is worth on new speakers is in the fold reports of `analysis/data/` and in docs/scoring.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.training.agreement import AGES, Agreement, Pairs, agreement
from scripts.training.corpus import Line, audio_path, read_lines
from scripts.training.processes import one_core_each

if TYPE_CHECKING:
    from analysis import Options

DEFAULT_DATA: Final = Path("../shared/data/so762-train")
# The experts' scale for each level, reached by a score of 100.
TOP: Final = {
    "phone": 2.0,
    "word": 10.0,
    "accuracy": 10.0,
    "fluency": 10.0,
    "prosodic": 10.0,
    "total": 10.0,
}
# What each expert's score is compared with.
FIELDS: Final = {
    "accuracy": "pronunciation",
    "fluency": "fluency",
    "prosodic": "prosody",
    "total": "overall",
}


@dataclass(frozen=True)
class Heard:
    """What the core said of one line, and what that cost."""

    line: Line
    phones: tuple[float | None, ...]
    words: tuple[float | None, ...]
    scores: dict[str, float | None]
    method: str
    audio_s: float
    cpu_s: float


def main(
    data: Annotated[
        Path, typer.Argument(help="folder with labels.jsonl and audio/")
    ] = DEFAULT_DATA,
    *,
    profile: Annotated[str, typer.Option(help="accurate or fast")] = "accurate",
    limit: Annotated[int, typer.Option(help="only so many lines, spread evenly; 0 = all")] = 0,
    jobs: Annotated[int, typer.Option(help="processes")] = 1,
    resamples: Annotated[int, typer.Option(help="of the bootstrap over speakers")] = 1000,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="also write the report here")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="also draw calibration and residuals here")
    ] = None,
) -> None:
    """Score every line of DATA through the public API and compare with the experts."""
    lines = read_lines(data)
    if limit:
        lines = [
            lines[i] for i in np.linspace(0, len(lines) - 1, min(limit, len(lines))).astype(int)
        ]
    heard = list(_hear(data, lines, profile, jobs))
    pairs = collect(heard)
    report = _report(pairs, heard, profile, resamples)
    _show(report)
    if as_json:
        as_json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if plot:
        from scripts.training.plots import draw_calibration

        draw_calibration(pairs, plot)


def collect(heard: Iterable[Heard]) -> dict[str, Pairs]:
    """Pair every expert's score with ours, on the experts' scale; what is null is left out."""
    rows: dict[str, list[tuple[float, float, str, int]]] = {level: [] for level in TOP}

    def add(level: str, ours: float | None, theirs: float, line: Line) -> None:
        if ours is not None:
            rows[level].append((ours * TOP[level] / 100.0, theirs, line.speaker, line.age))

    for one in heard:
        experts = [score for word in one.line.phone_scores for score in word]
        for ours, theirs in zip(one.phones, experts, strict=True):
            add("phone", ours, theirs, one.line)
        for ours, theirs in zip(one.words, one.line.word_scores or (), strict=False):
            add("word", ours, theirs, one.line)
        for key, field in FIELDS.items():
            if one.line.scores is not None:
                add(key, one.scores[field], one.line.scores[key], one.line)
    return {level: Pairs.of(found) for level, found in rows.items() if found}


def _hear(data: Path, lines: list[Line], profile: str, jobs: int) -> Iterable[Heard]:
    tasks = [(data, line, profile) for line in lines]
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("scoring", total=len(tasks))
        with one_core_each(jobs) as pool:
            for heard in pool.map(_hear_one, tasks, chunksize=8):
                yield heard
                progress.advance(bar)


def _hear_one(task: tuple[Path, Line, str]) -> Heard:
    return hear_line(*task)


def hear_line(data: Path, line: Line, profile: str) -> Heard:
    """Score one line through the public API, from its bytes on."""
    content = audio_path(data, line).read_bytes()
    from analysis import Recording, Reference, score

    options = _options(profile)
    started = time.process_time()
    recording = Recording.from_bytes(content)
    reference = Reference.from_text(line.text, phones=line.phones)
    result = score(recording, reference, options=options)
    spent = time.process_time() - started
    return Heard(
        line=line,
        phones=tuple(_phone_scores(result.words, line)),
        words=tuple(word.scores.pronunciation for word in result.words),
        scores={field: getattr(result.scores, field) for field in FIELDS.values()},
        method=result.engine["aligner"],
        audio_s=recording.duration,
        cpu_s=spent,
    )


def _phone_scores(words: Iterable[Any], line: Line) -> Iterable[float | None]:
    for word, phones in zip(words, line.phones, strict=True):
        if len(word.phones) == len(phones):
            yield from (phone.score for phone in word.phones)
        else:  # not placed: nothing is known of its phones
            yield from (None for _ in phones)


def _options(profile: str) -> Options:
    from analysis import Options

    if profile not in ("accurate", "fast"):
        raise typer.BadParameter("--profile is accurate or fast")
    return Options(profile=profile)  # type: ignore[arg-type]


def _report(
    pairs: dict[str, Pairs], heard: list[Heard], profile: str, resamples: int
) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for name, youngest, oldest in AGES:
        of_age = {level: found.between(youngest, oldest) for level, found in pairs.items()}
        groups[name] = {
            level: agreement(found, resamples).as_dict()
            for level, found in of_age.items()
            if found.speakers > 1
        }
    audio = sum(one.audio_s for one in heard)
    usual = heard[1:] or heard  # the first line loads the models
    return {
        "profile": profile,
        "lines": len(heard),
        "speakers": len({one.line.speaker for one in heard}),
        "audio_s": round(audio, 1),
        "cpu_s_per_audio_s": round(
            sum(one.cpu_s for one in usual) / sum(one.audio_s for one in usual), 4
        ),
        "cpus": os.cpu_count(),
        "aligned_by": {
            method: sum(one.method == method for one in heard)
            for method in sorted({one.method for one in heard})
        },
        "phones_without_score": sum(score is None for one in heard for score in one.phones),
        "levels": {level: agreement(found, resamples).as_dict() for level, found in pairs.items()},
        "ages": groups,
    }


def _show(report: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title=f"{report['lines']} lines, {report['speakers']} speakers")
    for column in ("level", "n", "PCC", "95 %", "Spearman", "MSE", *(name for name, _, _ in AGES)):
        table.add_column(column, justify="left" if column == "level" else "right")
    for level, row in report["levels"].items():
        found = Agreement(**row)
        by_age = [report["ages"][name].get(level, {}).get("pcc") for name, _, _ in AGES]
        table.add_row(
            level,
            str(found.n),
            f"{found.pcc:.3f}",
            f"{found.low:.3f}–{found.high:.3f}",
            f"{found.spearman:.3f}",
            f"{found.mse:.3f}",
            *("–" if pcc is None else f"{pcc:.3f}" for pcc in by_age),
        )
    console.print(table)
    console.print(
        f"profile {report['profile']}, {report['cpu_s_per_audio_s']:.4f} s of CPU per second of "
        f"audio, decode to result; aligned by {report['aligned_by']}; "
        f"{report['phones_without_score']} phones without a score"
    )


if __name__ == "__main__":
    typer.run(main)
