"""What the core makes of each training line, heard by a network that never met its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from scripts.training.corpus import audio_path
from scripts.training.realignment import words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.evidence import LineEvidence
    from analysis.line_features import DurationNorms
    from analysis.network import Judgement
    from scripts.training.corpus import Example, Line
    from scripts.training.mismatches import Mismatch


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


def hear_fold(task: FoldTask) -> list[HeardLine]:
    """Hear the lines of a fold by its network; runs in a process of its own."""
    network = PhoneNetwork(task.network)
    return [
        hear(
            example, Recording.from_file(audio_path(task.data, example.line)),
            fold=task.fold, network=network,
            norms=task.norms, priors=task.priors, gop_table=task.gop_table,
        )
        for example in task.examples
    ]  # fmt: skip


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
    example: Example,
    recording: Recording,
    *,
    fold: int,
    network: PhoneNetwork,
    norms: DurationNorms,
    priors: NDArray[np.float64],
    gop_table: NDArray[np.float64],
) -> HeardLine:
    """Run the core's own steps on a line, up to where calibration begins.

    The network's part is placed by the network, the part of GOP by PocketSphinx.
    """
    from analysis.gop import phone_scores

    mel = example.mels[0].astype(np.float32)
    found = judged(example, mel, network, priors)
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
    by_gop = phone_scores(rows.phones, likelihoods, gop_table) / 50.0
    gop_words = rows.word_means(by_gop)
    features = line_features(
        alignment, rows, phones, words,
        own=evidence.own(rows), lead=evidence.lead(rows), mel=mel, pitch=pitch, norms=norms,
    )  # fmt: skip
    gop_features = line_features(
        gop_alignment, by_sphinx, by_gop, gop_words,
        own=likelihoods, lead=likelihoods, mel=mel, pitch=pitch, norms=norms,
    )  # fmt: skip
    return HeardLine(
        line=example.line,
        fold=fold,
        phones=phones,
        words=words,
        rows=rows,
        table=phone_table(rows, judgement, evidence, native, mel=mel, norms=norms),
        evidence=evidence.phones,
        features=with_hearing(features, evidence, native, judgement),
        gop_phones=by_gop,
        gop_features=gop_features,
        word_evidence=of_words,
        line_evidence=line_evidence(of_words, rows, evidence),
    )
