"""What the core makes of each training line, heard by a network that never met its speaker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.alignment import AlignedPhone, AlignedWord, Alignment
from analysis.contour import PitchContour
from analysis.evidence import gather
from analysis.line_features import DurationNorms, line_features
from analysis.network import PhoneNetwork
from analysis.phones import PHONES
from analysis.presence import line_evidence, word_features
from analysis.segments import Segments, extras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.corpus import Example, Line

WELL_SAID: Final = 1.9  # lines of this mean phone score say how long phones usually are


@dataclass(frozen=True, eq=False)
class HeardLine:
    """Scores and features of one line as the core has them before calibration."""

    line: Line
    fold: int
    phones: NDArray[np.float64]  # (P,) 0–2
    words: NDArray[np.float64]  # (W,) 0–2
    features: NDArray[np.float64]  # NAMES, then the network's line scores
    gop_phones: NDArray[np.float64]
    gop_features: NDArray[np.float64]
    likelihoods: NDArray[np.float64]
    phone_rows: NDArray[np.int64]
    word_evidence: NDArray[np.float64]
    line_evidence: NDArray[np.float64]


def alignment_of(example: Example) -> Alignment:
    """Rebuild the alignment that the corpus keeps as arrays."""
    return Alignment(_words(example, example.line.words, example.likelihoods), "pocketsphinx")


def aligned_words(rows: Segments) -> tuple[AlignedWord, ...]:
    """Rebuild words from arrays; what they are called does not matter."""
    names = [""] * (int(rows.words[-1]) + 1)
    return _words(rows, names, np.zeros(len(rows.phones)))


def _words(
    rows: Example | Segments, names: Sequence[str], likelihoods: NDArray[np.floating]
) -> tuple[AlignedWord, ...]:
    words = []
    for index, name in enumerate(names):
        phones = tuple(
            AlignedPhone(
                PHONES[rows.phones[p]],
                float(rows.spans[p, 0]),
                float(rows.spans[p, 1]),
                float(likelihoods[p]),
            )
            for p in np.flatnonzero(rows.words == index)
        )
        words.append(AlignedWord(index, name, phones[0].start, phones[-1].end, phones))
    return tuple(words)


def duration_norms(examples: Iterable[Example]) -> DurationNorms:
    """Return the usual log duration of each phone, from phones said well in lines said well."""
    logs: list[list[float]] = [[] for _ in PHONES]
    for example in examples:
        if example.targets.mean() < WELL_SAID:
            continue
        durations = np.log(np.maximum(example.spans[:, 1] - example.spans[:, 0], 0.01))
        for phone, duration, score in zip(example.phones, durations, example.targets, strict=True):
            if score >= WELL_SAID:
                logs[phone].append(float(duration))
    overall = np.concatenate([np.array(own) for own in logs])
    mean = [np.mean(own) if len(own) >= 20 else overall.mean() for own in logs]
    deviation = [np.std(own) if len(own) >= 20 else overall.std() for own in logs]
    return DurationNorms(np.array(mean), np.array(deviation))


def log_priors(examples: Iterable[Example]) -> NDArray[np.float64]:
    """Return the log share of each class of frames, silence last."""
    seconds = np.ones(len(PHONES) + 1)
    for example in examples:
        durations = example.spans[:, 1] - example.spans[:, 0]
        np.add.at(seconds, example.phones, durations)
        seconds[-1] += max(len(example.mels[0]) / 100.0 - float(durations.sum()), 0.0)
    shares: NDArray[np.float64] = np.log(seconds / seconds.sum())
    return shares


def hear(
    example: Example,
    *,
    fold: int,
    network: PhoneNetwork,
    pitch: PitchContour,
    norms: DurationNorms,
    priors: NDArray[np.float64],
    gop_table: NDArray[np.float64],
) -> HeardLine:
    """Run the core's own steps on a line, up to where calibration begins."""
    from analysis.gop import phone_scores

    alignment = alignment_of(example)
    rows = Segments(
        example.phones, example.spans, example.words, extras(example.spans, example.words)
    )
    mel = example.mels[0].astype(np.float32)
    judgement = network.judge(mel, rows)
    evidence = gather(judgement.posteriors, rows, alignment.placed, priors)
    phones, words = judgement.phones.astype(float), judgement.words.astype(float)
    likelihoods = example.likelihoods.astype(float)
    by_gop = phone_scores(rows.phones, likelihoods, gop_table) / 50.0
    gop_words = rows.members() @ by_gop / rows.members().sum(axis=1)
    heard = word_features(rows, evidence, phones, words)
    features = line_features(
        alignment, rows, phones, words,
        own=evidence.own(rows), lead=evidence.lead(rows), mel=mel, pitch=pitch, norms=norms,
    )  # fmt: skip
    gop_features = line_features(
        alignment, rows, by_gop, gop_words,
        own=likelihoods, lead=likelihoods, mel=mel, pitch=pitch, norms=norms,
    )  # fmt: skip
    return HeardLine(
        line=example.line,
        fold=fold,
        phones=phones,
        words=words,
        features=np.concatenate((features, judgement.line)),
        gop_phones=by_gop,
        gop_features=gop_features,
        likelihoods=likelihoods,
        phone_rows=rows.phones,
        word_evidence=heard,
        line_evidence=line_evidence(heard, rows, evidence),
    )


def load_pitch(folder: Path, lines: Iterable[Line], cache: Path) -> dict[str, PitchContour]:
    """Return each line's contour, tracked once and kept in `cache`."""
    from analysis.audio import Recording
    from analysis.pitch import track_pitch
    from scripts.training.corpus import audio_path

    path = cache / "pitch.npz"
    if not path.exists():
        tracked = {
            line.name: track_pitch(Recording.from_file(audio_path(folder, line))) for line in lines
        }
        arrays: dict[str, Any] = {
            name: np.stack((found.times, found.hz)) for name, found in tracked.items()
        }
        np.savez(path, **arrays)
    with np.load(path) as stored:
        return {name: PitchContour.from_points(*stored[name]) for name in stored.files}
