"""What the core makes of each training line, heard by a network that never met its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.aligned import AlignedPhone, AlignedWord, Alignment
from analysis.audio import Recording
from analysis.line_features import line_features
from analysis.network import PhoneNetwork
from analysis.phones import PHONES
from analysis.pitch import track_pitch
from analysis.refinement import phone_table
from scripts.training.corpus import audio_path, in_noise
from scripts.training.judging import Judged, judge_by_gop, judge_by_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.line_features import DurationNorms
    from analysis.segments import Segments
    from scripts.training.corpus import Example, Line
    from scripts.training.mismatches import Kind, Mismatch


# A room with a fan in it: no score may hang on whether there is one.
NOISE_SNR_DB: Final = 20.0


@dataclass(frozen=True, eq=False)
class HeardBy:
    """What one scorer, the network or GOP, makes of a line before calibration."""

    rows: Segments
    phones: NDArray[np.float64]  # (P,) 0–2
    words: NDArray[np.float64]  # (W,) likewise
    features: NDArray[np.float64]  # of `analysis.calibration.FEATURES`
    word_evidence: NDArray[np.float64]
    line_evidence: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeardLine:
    """Scores and features of one line as the core has them before calibration."""

    line: Line
    fold: int
    by: dict[str, HeardBy]  # of each scorer
    table: NDArray[np.float64]  # of `analysis.refinement.phone_table`
    evidence: NDArray[np.float64]  # (P, 40) mean log posteriors


@dataclass(frozen=True, eq=False)
class HeardMismatch:
    """What each scorer's detectors see of a text that was not said: a word of it, or all."""

    kind: Kind
    fold: int
    by: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class FoldTask:
    """Lines of one fold, and all that hearing them takes."""

    fold: int
    network: Path
    examples: tuple[Example, ...]
    mismatches: tuple[Mismatch, ...]
    data: Path
    norms: DurationNorms
    priors: NDArray[np.float64]
    gop_table: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeardFold:
    """All lines of a task; those that experts marked as a whole once more, in noise; mismatches."""

    lines: tuple[HeardLine, ...]
    in_noise: tuple[HeardLine, ...]
    mismatches: tuple[HeardMismatch, ...]


def hear_fold(task: FoldTask) -> HeardFold:
    """Hear the lines of a task by its network; runs in a process of its own."""
    network = PhoneNetwork(task.network)
    lines: list[HeardLine] = []
    again: list[HeardLine] = []
    for example in task.examples:
        recording = Recording.from_file(audio_path(task.data, example.line))
        lines.append(_hear(example, recording, task, network))
        if example.line.scores is not None:
            again.append(_hear(example, _noisy(recording, example.line.name), task, network))
    mismatches = [_hear_mismatch(one, task, network) for one in task.mismatches]
    return HeardFold(tuple(lines), tuple(again), tuple(one for one in mismatches if one))


def _noisy(recording: Recording, name: str) -> Recording:
    """Return a line in noise of `NOISE_SNR_DB`, the same each time."""
    noise = np.random.default_rng(int(name))
    samples = in_noise(recording.samples, NOISE_SNR_DB, noise)
    return Recording.from_samples(samples, recording.sample_rate)


def _hear(
    example: Example, recording: Recording, task: FoldTask, network: PhoneNetwork
) -> HeardLine:
    by_network = judge_by_network(example, recording, network, task.priors)
    by_gop = judge_by_gop(example, recording, task.gop_table)
    if by_network is None or by_gop is None:
        raise ValueError(f"{example.line.name} is shorter than its text.")
    mel, pitch = recording.log_mel, track_pitch(recording)

    def heard_by(judged: Judged, line_scores: NDArray[np.floating] | None) -> HeardBy:
        features = line_features(
            Alignment(_aligned_words(judged.rows, example.line.words), "training"),
            judged.rows, judged.phones, judged.words, line_scores,
            evidence=judged.evidence, native=judged.native,
            mel=mel, pitch=pitch, norms=task.norms,
        )  # fmt: skip
        return HeardBy(
            judged.rows, judged.phones, judged.words, features, judged.of_words(), judged.of_line()
        )

    table = phone_table(
        by_network.rows, by_network.judgement, by_network.evidence, by_network.native,
        mel=mel, norms=task.norms,
    )  # fmt: skip
    return HeardLine(
        line=example.line,
        fold=task.fold,
        by={
            "network": heard_by(by_network, by_network.judgement.line),
            "gop": heard_by(by_gop, None),
        },
        table=table,
        evidence=by_network.evidence.phones,
    )


def _hear_mismatch(
    mismatch: Mismatch, task: FoldTask, network: PhoneNetwork
) -> HeardMismatch | None:
    recording = mismatch.recording(task.data)
    by_network = judge_by_network(mismatch, recording, network, task.priors)
    by_gop = judge_by_gop(mismatch, recording, task.gop_table)
    if by_network is None or by_gop is None:
        return None

    def seen(judged: Judged) -> NDArray[np.float64]:
        absent = mismatch.absent
        return judged.of_line() if absent is None else judged.of_words()[absent]

    return HeardMismatch(
        mismatch.kind, task.fold, {"network": seen(by_network), "gop": seen(by_gop)}
    )


def _aligned_words(rows: Segments, names: Sequence[str]) -> tuple[AlignedWord, ...]:
    """Rebuild words from arrays."""
    words = []
    for index, name in enumerate(names):
        phones = tuple(
            AlignedPhone(PHONES[rows.phones[p]], float(rows.spans[p, 0]), float(rows.spans[p, 1]))
            for p in np.flatnonzero(rows.words == index)
        )
        words.append(AlignedWord(index, name, phones[0].start, phones[-1].end, phones))
    return tuple(words)
