"""A text on a recording, judged as the core does it, up to where calibration begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from analysis.consensus import judge
from analysis.evidence import LineEvidence, TextEvidence, gather
from analysis.gop import phone_scores
from analysis.native_alignment import native_spans
from analysis.nativeness import Nativeness, nativeness
from analysis.network import Judgement, PhoneNetwork
from analysis.path_evidence import PathEvidence
from analysis.presence import line_evidence, word_features
from analysis.scorer import PHONE_TO_PERCENT
from analysis.segments import Segments, path_seconds, pronunciations
from analysis.trellis import best_path, log_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.audio import Recording


class Text(Protocol):
    """What should have been said: rows of `PHONES` (P,), and the word of each (P,)."""

    @property
    def phones(self) -> NDArray[np.int64]:
        """The phones."""

    @property
    def words(self) -> NDArray[np.int64]:
        """Their words."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What one scorer, the network or GOP, makes of a text.

    Attributes
    ----------
    rows : where its phones lie.
    phones, words : (P,) and (W,) scores, 0–2.
    evidence, native : how well the recording bears the text, and how native the phones are.
    """

    rows: Segments
    phones: NDArray[np.float64]
    words: NDArray[np.float64]
    evidence: TextEvidence
    native: Nativeness

    def of_words(self) -> NDArray[np.float64]:
        """Return (W, `WORD_FEATURES`), what the detector of words that were not said sees."""
        return word_features(self.rows, self.evidence, self.phones, self.words)

    def of_line(self) -> NDArray[np.float64]:
        """Return the row of `LINE_FEATURES`, what the detector of other texts sees."""
        return line_evidence(self.of_words(), self.evidence)


@dataclass(frozen=True, eq=False)
class JudgedByNetwork(Judged):
    """The same by the network, with what it alone says."""

    evidence: LineEvidence
    judgement: Judgement


def judge_by_network(
    text: Text, recording: Recording, network: PhoneNetwork, log_priors: NDArray[np.float64]
) -> JudgedByNetwork | None:
    """Place a text by the network and judge it there; None where there is less sound than text."""
    heard = network.listen(recording.log_mel)
    words = pronunciations(text.phones, text.words)
    path = best_path(log_evidence(heard.posteriors, log_priors), words)
    if path is None:
        return None
    rows = Segments.at(text.phones, path_seconds(path.spans), text.words)
    native = nativeness(recording.samples, rows)
    if native is None:
        return None
    judgement = judge(network, heard, rows, log_priors, profile="accurate")
    evidence = gather(heard.posteriors, rows, PathEvidence.of(path), native.path)
    return JudgedByNetwork(
        rows,
        judgement.phones.astype(np.float64),
        judgement.words.astype(np.float64),
        evidence,
        native,
        judgement,
    )


def hear_natively(
    samples: NDArray[np.float32], phones: NDArray[np.int64], words: NDArray[np.int64]
) -> tuple[Segments, Nativeness] | None:
    """Place a text by the native model and say how native it is there; None as above."""
    spans = native_spans(samples, pronunciations(phones, words))
    if spans is None:
        return None
    rows = Segments.at(phones, spans, words)
    native = nativeness(samples, rows)
    return None if native is None else (rows, native)


def judge_by_gop(text: Text, recording: Recording, table: NDArray[np.float64]) -> Judged | None:
    """Place a text by the native model and judge it there; None as above."""
    heard = hear_natively(recording.samples, text.phones, text.words)
    if heard is None:
        return None
    rows, native = heard
    phones = phone_scores(text.phones, native.phones, table) / PHONE_TO_PERCENT
    return Judged(rows, phones, rows.word_means(phones), TextEvidence.native(native), native)
