"""Measure what timing and pitch answer to on people's own voices, changed in one respect at a time.

Each recording is its own actor; Praat (PSOLA) renders it slower, flatter, higher and so on, and the
rendering is scored against the original. Prints the spread of both scores for each change.

    python scripts/measure_imitation.py FOLDER [--lines 40] [--json]

FOLDER holds ``audio/ID.flac`` and ``labels.jsonl`` with ``id``, ``text`` and ``words`` (``phones``
each), as the training half of speechocean762 is laid out in docs/scoring.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import parselmouth
from parselmouth.praat import call

from analysis.alignment import Aligner
from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.melody import compare_pitch
from analysis.pitch import FIRST_PASS_CEILING_HZ, FIRST_PASS_FLOOR_HZ, track_pitch
from analysis.reference import Reference
from analysis.reference_words import ReferencePhone
from analysis.timing import compare_timing
from analysis.warp import Span

SLOWER: Final = 1.3
HIGHER: Final = 1.6
NOISE_DB: Final = 20.0
PERCENTILES: Final = (5, 50, 95)


def noisy(recording: Recording) -> Recording:
    """Add white noise at `NOISE_DB` below the recording's level."""
    level = np.sqrt(np.mean(np.square(recording.samples))) * 10.0 ** (-NOISE_DB / 20.0)
    noise = np.random.default_rng(20).standard_normal(recording.samples.size)
    return Recording.from_samples(recording.samples + level * noise, SAMPLE_RATE_HZ)


def stretched(recording: Recording, factor: float) -> Recording:
    """Render it longer by a factor, at its own pitch."""
    sound, manipulation = _manipulation(recording)
    tier = call("Create DurationTier", "factor", 0.0, sound.duration)
    call(tier, "Add point", 0.0, factor)
    call([tier, manipulation], "Replace duration tier")
    return _rendered(manipulation)


def repitched(recording: Recording, formula: str) -> Recording:
    """Render it with F0 by a Praat formula of ``self``, in which MEAN is the line's mean."""
    _, manipulation = _manipulation(recording)
    tier = call(manipulation, "Extract pitch tier")
    if call(tier, "Get number of points") == 0:
        return recording
    mean = call(tier, "Get mean (curve)", 0.0, 0.0)
    call(tier, "Formula", formula.replace("MEAN", repr(mean)))
    call([tier, manipulation], "Replace pitch tier")
    return _rendered(manipulation)


CHANGES: Final[dict[str, Callable[[Recording], Recording]]] = {
    "nothing": lambda recording: recording,
    "noise at 20 dB": noisy,
    "30 % slower": lambda recording: stretched(recording, SLOWER),
    "30 % faster": lambda recording: stretched(recording, 1.0 / SLOWER),
    "8 semitones higher": lambda recording: repitched(recording, f"self * {HIGHER}"),
    "8 semitones lower": lambda recording: repitched(recording, f"self / {HIGHER}"),
    "melody halved": lambda recording: repitched(recording, "MEAN * (self / MEAN) ^ 0.5"),
    "monotone": lambda recording: repitched(recording, "MEAN"),
    "melody upside down": lambda recording: repitched(recording, "MEAN * MEAN / self"),
}


def _manipulation(recording: Recording) -> tuple[Any, Any]:
    sound = parselmouth.Sound(recording.samples.astype(np.float64), SAMPLE_RATE_HZ)
    manipulation = call(sound, "To Manipulation", 0.01, FIRST_PASS_FLOOR_HZ, FIRST_PASS_CEILING_HZ)
    return sound, manipulation


def _rendered(manipulation: Any) -> Recording:
    samples = call(manipulation, "Get resynthesis (overlap-add)").values[0]
    return Recording.from_samples(samples / max(1.0, np.abs(samples).max()), SAMPLE_RATE_HZ)


def as_actor(
    recording: Recording, text: str, phones: list[list[str]], aligner: Aligner
) -> Reference | None:
    """Make a timed reference of a recording by its own alignment; None where it has none."""
    written = Reference.from_text(text, phones=phones)
    placed = aligner.align(recording, written).words
    words = tuple(
        replace(
            word,
            start=at.start,
            end=at.end,
            phones=tuple(ReferencePhone(p.phone, None, p.start, p.end) for p in at.phones),
        )
        for word, at in zip(written.words, placed, strict=True)
        if at is not None
    )
    if len(words) < len(written.words):
        return None
    return Reference(words=words, pitch=track_pitch(recording), duration=recording.duration)


def compare(
    rendering: Recording, actor: Reference, aligner: Aligner
) -> tuple[float | None, float | None]:
    """Return the timing and pitch scores of a rendering against the actor."""
    alignment = aligner.align(rendering, actor)
    if actor.pitch is None:
        raise ValueError("an actor of `as_actor` has a contour")
    ours: list[Span | None] = [
        None if word is None else (word.start, word.end) for word in alignment.words
    ]
    theirs: list[Span | None] = [(w.start or 0.0, w.end or 0.0) for w in actor.words]
    pitch = compare_pitch(track_pitch(rendering), actor.pitch, ours, theirs)
    return compare_timing(actor, alignment).score, pitch.score


def read_lines(folder: Path, count: int) -> Iterator[tuple[Recording, str, list[list[str]]]]:
    """Read `count` lines spread evenly over the labels, so over the speakers."""
    with (folder / "labels.jsonl").open(encoding="utf-8") as file:
        labels = [json.loads(line) for line in file]
    for label in labels[:: max(1, len(labels) // count)][:count]:
        recording = Recording.from_file(folder / "audio" / f"{label['id']}.flac")
        yield recording, label["text"], [word["phones"] for word in label["words"]]


def measure(folder: Path, count: int) -> dict[str, dict[str, list[float]]]:
    """Return the scores of each change, as lists over the lines."""
    aligner = Aligner()
    found: dict[str, dict[str, list[float]]] = {
        change: {"timing": [], "pitch": []} for change in CHANGES
    }
    for recording, text, phones in read_lines(folder, count):
        actor = as_actor(recording, text, phones, aligner)
        if actor is None:
            continue
        for change, render in CHANGES.items():
            timing, pitch = compare(render(recording), actor, aligner)
            for name, score in (("timing", timing), ("pitch", pitch)):
                if score is not None:
                    found[change][name].append(score)
    return found


def print_table(found: dict[str, dict[str, list[float]]]) -> None:
    """Print percentiles of both scores, a row for each change."""
    print(f"{'change':20s} {'lines':>5s}   timing 5 % / median / 95 %   pitch 5 % / median / 95 %")
    for change, scores in found.items():
        spread = [
            " / ".join(f"{value:5.0f}" for value in np.percentile(values, PERCENTILES))
            if values
            else "none"
            for values in scores.values()
        ]
        print(f"{change:20s} {len(scores['pitch']):5d}   {spread[0]:>26s}   {spread[1]:>25s}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="print every score")
    options = parser.parse_args(arguments)
    found = measure(options.folder, options.lines)
    if options.json:
        json.dump(found, sys.stdout)
        return 0
    print_table(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
