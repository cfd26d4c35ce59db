"""What the core makes of each training line, heard by a network that never met its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.alignment import AlignedPhone, AlignedWord, Alignment
from analysis.audio import Recording
from analysis.consensus import judge
from analysis.evidence import gather
from analysis.line_features import line_features, with_hearing
from analysis.nativeness import nativeness
from analysis.network import PhoneNetwork
from analysis.phones import PHONES
from analysis.pitch import track_pitch
from analysis.presence import line_evidence, word_features
from analysis.refinement import phone_table
from analysis.segments import Segments, path_seconds
from analysis.trellis import best_path, log_evidence
from scripts.training.corpus import audio_path, in_noise
from scripts.training.realignment import words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.evidence import LineEvidence
    from analysis.line_features import DurationNorms
    from analysis.network import Judgement
    from scripts.training.corpus import Example, Line
    from scripts.training.mismatches import Mismatch


# A room with a fan in it: no score may hang on whether there is one.
NOISE_SNR_DB: Final = 20.0


@dataclass(frozen=True, eq=False)
class HeardLine:
    """Scores and features of one line as the core has them before calibration."""

    line: Line
    fold: int
    phones: NDArray[np.float64]  # (P,) 0–2, by the network
    words: NDArray[np.float64]  # (W,) 0–2, likewise
    rows: Segments
    table: NDArray[np.float64]  # of `analysis.refinement.phone_table`
    evidence: NDArray[np.float64]  # (P, 40) mean log posteriors
    features: NDArray[np.float64]  # of `analysis.line_features.NETWORK_NAMES`
    gop_phones: NDArray[np.float64]
    gop_features: NDArray[np.float64]
    word_evidence: NDArray[np.float64]
    line_evidence: NDArray[np.float64]


def aligned_words(rows: Segments, names: Sequence[str]) -> tuple[AlignedWord, ...]:
    """Rebuild words from arrays."""
    words = []
    for index, name in enumerate(names):
        phones = tuple(
            AlignedPhone(PHONES[rows.phones[p]], float(rows.spans[p, 0]), float(rows.spans[p, 1]))
            for p in np.flatnonzero(rows.words == index)
        )
        words.append(AlignedWord(index, name, phones[0].start, phones[-1].end, phones))
    return tuple(words)


@dataclass(frozen=True, eq=False)
class FoldTask:
    """The lines of one fold, and all that hearing them takes."""

    fold: int
    network: Path
    examples: tuple[Example, ...]
    data: Path
    norms: DurationNorms
    priors: NDArray[np.float64]
    gop_table: NDArray[np.float64]


def hear_fold(task: FoldTask) -> tuple[list[HeardLine], list[HeardLine]]:
    """Hear the lines of a fold by its network; runs in a process of its own.

    Returns
    -------
    All lines; and those that experts marked as a whole once more, in noise.
    """
    network = PhoneNetwork(task.network)
    lines: list[HeardLine] = []
    again: list[HeardLine] = []
    for example in task.examples:
        recording = Recording.from_file(audio_path(task.data, example.line))
        lines.append(hear(example, recording, task, network))
        if example.line.scores is not None:
            again.append(hear(example, noisy(recording, example.line.name), task, network))
    return lines, again


def noisy(recording: Recording, name: str) -> Recording:
    """Return a line in noise of `NOISE_SNR_DB`, the same each time."""
    noise = np.random.default_rng(int(name))
    samples = in_noise(recording.samples, NOISE_SNR_DB, noise)
    return Recording.from_samples(samples, recording.sample_rate)


def judged(
    text: Example | Mismatch,
    mel: NDArray[np.float32],
    network: PhoneNetwork,
    priors: NDArray[np.float64],
) -> tuple[Segments, Judgement, LineEvidence, NDArray[np.float64]] | None:
    """Place a text on a recording and judge it there, as the core does.

    Returns
    -------
    Its phones, their scores, what was heard, and the evidence of each word; None where there is
    less sound than text.
    """
    heard = network.listen(mel)
    own = words_of(text)
    path = best_path(log_evidence(heard.posteriors, priors), own)
    if path is None:
        return None
    rows = Segments.at(text.phones, path_seconds(path.spans), text.words)
    judgement = judge(network, heard, rows, own, priors, profile="accurate")
    evidence = gather(heard.posteriors, rows, path, priors)
    phones, words = judgement.phones.astype(float), judgement.words.astype(float)
    return rows, judgement, evidence, word_features(rows, evidence, phones, words)


def hear(
    example: Example, recording: Recording, task: FoldTask, network: PhoneNetwork
) -> HeardLine:
    """Run the core's own steps on a line, up to where calibration begins.

    The network's part is placed by the network, the part of GOP by PocketSphinx.
    """
    from analysis.gop import phone_scores

    mel = recording.log_mel
    found = judged(example, mel, network, task.priors)
    if found is None:
        raise ValueError(f"{example.line.name} is shorter than its text.")
    rows, judgement, evidence, of_words = found
    native = nativeness(recording.samples, rows)
    pitch = track_pitch(recording)
    names = example.line.words
    alignment = Alignment(aligned_words(rows, names), "network")
    phones, words = judgement.phones.astype(float), judgement.words.astype(float)
    likelihoods = example.likelihoods.astype(float)
    by_sphinx = Segments.at(example.phones, example.spans, example.words)
    gop_alignment = Alignment(aligned_words(by_sphinx, names), "pocketsphinx")
    by_gop = phone_scores(rows.phones, likelihoods, task.gop_table) / 50.0
    gop_words = rows.word_means(by_gop)
    features = line_features(
        alignment, rows, phones, words,
        own=evidence.own(rows), lead=evidence.lead(rows), mel=mel, pitch=pitch, norms=task.norms,
    )  # fmt: skip
    gop_features = line_features(
        gop_alignment, by_sphinx, by_gop, gop_words,
        own=likelihoods, lead=likelihoods, mel=mel, pitch=pitch, norms=task.norms,
    )  # fmt: skip
    return HeardLine(
        line=example.line,
        fold=task.fold,
        phones=phones,
        words=words,
        rows=rows,
        table=phone_table(rows, judgement, evidence, native, mel=mel, norms=task.norms),
        evidence=evidence.phones,
        features=with_hearing(features, evidence, native, judgement),
        gop_phones=by_gop,
        gop_features=gop_features,
        word_evidence=of_words,
        line_evidence=line_evidence(of_words, rows, evidence),
    )
