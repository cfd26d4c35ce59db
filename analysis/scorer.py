"""The judge of a line: phones from network or GOP, then words, then the utterance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.assessment import (
    Assessment,
    PhoneAssessment,
    Profile,
    Speech,
    WordAssessment,
    WordStatus,
)
from analysis.calibration import HEADS, Calibration, load_calibration
from analysis.consensus import judge
from analysis.credit import Credit, give_credit
from analysis.evidence import LineEvidence, TextEvidence, gather
from analysis.gop import phone_scores
from analysis.insertion import Insertion, find_insertions
from analysis.line_features import line_features
from analysis.nativeness import Nativeness, nativeness
from analysis.network import PhoneNetwork, load_network
from analysis.path_evidence import PathEvidence
from analysis.presence import holds_speech, word_features
from analysis.refinement import load_refinement, refined_words
from analysis.segments import Segments, segments
from analysis.substitution import said_instead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.aligned import Alignment, Hearing
    from analysis.audio import Recording
    from analysis.contour import PitchContour
    from analysis.reference import Reference

# A word that experts would give less than 7 of 10: "an accent that hinders".
MISPRONOUNCED_BELOW: Final = 70.0
PHONE_TO_PERCENT: Final = 50.0  # the experts' 0–2, which the networks learn, to 0–100


@dataclass(frozen=True, eq=False)
class _Judged:
    """A line's scores before they are told: phones and words on 0–2, the line on 0–100."""

    phones: NDArray[np.float64]
    words: NDArray[np.float64]
    line: dict[str, float]  # of HEADS, by the words that were said
    credit: Credit
    # Of the network alone.
    evidence: LineEvidence | None = None
    insertions: tuple[Insertion, ...] = ()


def assess(
    recording: Recording,
    reference: Reference,
    alignment: Alignment,
    *,
    pitch: PitchContour,
    profile: Profile = "accurate",
) -> Assessment:
    """Judge an aligned recording.

    Phones are judged by the network, which was trained on experts' scores, and then once more in
    the light of their line (`analysis.refinement`); without the network's files by GOP. The
    utterance's scores are bounded linear functions of `analysis.line_features`.
    Silence, and speech that is not this line, get zeros and say so in `Assessment.speech`. A word
    that may not have been said counts by how surely it was, and so do its phones.

    Parameters
    ----------
    recording, reference : the two inputs.
    alignment : where the words lie; see `Aligner`.
    pitch : the speaker's own contour, for prosody.
    profile : ``fast`` scores the phones at one alignment, ``accurate`` at three; by GOP there is
        one alone.
    """
    calibration = load_calibration()
    network = load_network()
    if alignment.placed and alignment.hearing is None:
        network = None  # placed without it, judged without it
    engine = {
        "aligner": alignment.method,
        "scorer": network.name if network else "gop",
        "profile": profile,
    }
    count = len(reference.words)
    mel = recording.log_mel
    if recording.is_silent or not holds_speech(mel, pitch):
        return _zeros(count, "no_speech", engine)
    if not alignment.placed:
        # Less was said than any part of the line, or none of it can be read.
        return _zeros(count, "wrong_text", engine) if alignment.unsaid else _unjudged(count, engine)
    rows = segments(alignment.placed)
    native = nativeness(recording.samples, rows)
    if native is None:
        return _zeros(count, "wrong_text", engine)
    line = _Line(alignment, rows, native, mel, pitch)
    if network is None or alignment.hearing is None:
        judged = _by_gop(calibration, line)
    else:
        judged = _by_network(network, calibration, alignment.hearing, line, profile=profile)
    if judged is None:
        return _zeros(count, "wrong_text", engine)
    return _told(alignment, count, judged, engine, calibration)


@dataclass(frozen=True, eq=False)
class _Line:
    """What is known of a line, whoever judges it."""

    alignment: Alignment
    rows: Segments
    native: Nativeness
    mel: NDArray[np.float32]
    pitch: PitchContour


def _by_gop(calibration: Calibration, line: _Line) -> _Judged | None:
    """Judge by goodness of pronunciation among native phones; None when this is another text."""
    rows, native = line.rows, line.native
    evidence = TextEvidence.native(native)
    scores = phone_scores(rows.phones, native.phones, calibration.gop) / PHONE_TO_PERCENT
    words = rows.word_means(scores)
    found = word_features(rows, evidence, scores, words)
    credit = give_credit(calibration, "gop", found, evidence)
    if credit is None:
        return None
    by_line = _line_scores(
        calibration, "gop", line, credit.said, phones=scores, words=words, evidence=evidence
    )
    return _Judged(scores, words, by_line, credit)


def _by_network(
    network: PhoneNetwork,
    calibration: Calibration,
    hearing: Hearing,
    line: _Line,
    *,
    profile: Profile,
) -> _Judged | None:
    """Judge by the network; None when this is another text."""
    # Ahead of all that may end here: a warm-up reaches this line, and then no job waits for it.
    refinement = load_refinement()
    rows, native, norms = line.rows, line.native, calibration.durations
    judgement = judge(network, hearing.heard, rows, calibration.log_priors, profile=profile)
    path = PathEvidence.of(hearing.path)
    evidence = gather(hearing.heard.posteriors, rows, path, native.path)
    raw, raw_words = judgement.phones.astype(np.float64), judgement.words.astype(np.float64)
    found = word_features(rows, evidence, raw, raw_words)
    credit = give_credit(calibration, "network", found, evidence)
    if credit is None:
        return None
    by_line = _line_scores(
        calibration, "network", line, credit.said,
        phones=raw, words=raw_words, line_scores=judgement.line, evidence=evidence,
    )  # fmt: skip
    phones = refinement.refine(rows, judgement, evidence, native, mel=line.mel, norms=norms)
    return _Judged(
        phones,
        refined_words(rows, phones, raw_words),
        by_line,
        credit,
        evidence,
        find_insertions(hearing.path, line.alignment.placed),
    )


def _line_scores(
    calibration: Calibration,
    scorer: str,
    line: _Line,
    said: NDArray[np.bool_],
    *,
    phones: NDArray[np.float64],
    words: NDArray[np.float64],
    line_scores: NDArray[np.floating] | None = None,
    evidence: TextEvidence,
) -> dict[str, float]:
    """Score the line on the words that were said: what was not has no place and no duration."""
    alignment, rows, native = line.alignment, line.rows, line.native
    if not said.all():
        absent = {word.index for word, own in zip(alignment.placed, said, strict=True) if not own}
        alignment = alignment.without(absent)
        own = said[rows.word_rows()]
        rows = Segments.at(rows.phones[own], rows.spans[own], rows.words[own])
        native, evidence = native.of(own), evidence.of(own)
        phones, words = phones[own], words[said]
    features = line_features(
        alignment, rows, phones, words, line_scores,
        evidence=evidence, native=native,
        mel=line.mel, pitch=line.pitch, norms=calibration.durations,
    )  # fmt: skip
    return {name: calibration.heads[scorer][name].score(features) for name in HEADS}


def _told(
    alignment: Alignment,
    count: int,
    judged: _Judged,
    engine: dict[str, str],
    calibration: Calibration,
) -> Assessment:
    """Tell the scores by reference word; all count by their credit, what was not said 0."""
    words = [WordAssessment(index, "ok", None, ()) for index in range(count)]
    for index in alignment.unsaid:
        words[index] = WordAssessment(index, "omitted", 0.0, ())
    at = 0
    for row, word in enumerate(alignment.placed):
        credit = float(judged.credit.words[row]) * judged.credit.line
        missing = credit == 0.0
        phones = []
        for phone in word.phones:
            score = _percent(float(judged.phones[at]))
            said = None
            if judged.evidence is not None and not missing:
                said = said_instead(judged.evidence.phones[at], phone.phone, score)
            phones.append(
                PhoneAssessment(
                    phone.phone, phone.start, phone.end, credit * score,
                    said.phone if said else None, said.confidence if said else None,
                )
            )  # fmt: skip
            at += 1
        score = credit * _percent(float(judged.words[row]))
        status: WordStatus = "ok" if score >= MISPRONOUNCED_BELOW else "mispronounced"
        status = "omitted" if missing else status
        words[word.index] = WordAssessment(word.index, status, score, tuple(phones))
    read = len(alignment.placed) + len(alignment.unsaid)
    said_share = 1.0 - sum(word.status == "omitted" for word in words) / read
    line = {name: score * judged.credit.line for name, score in judged.line.items()}
    parts = {
        "pronunciation": line["accuracy"] * float(judged.credit.words.sum()) / read,
        "fluency": line["fluency"],
        "prosody": line["prosodic"],
    }
    return Assessment(
        words=tuple(words),
        **parts,
        completeness=100.0 * said_share,
        total=sum(calibration.blend[name] * value for name, value in parts.items()),
        speech="ok",
        engine=engine,
        weights=dict(calibration.blend),
        insertions=judged.insertions,
    )


def _zeros(count: int, speech: Speech, engine: dict[str, str]) -> Assessment:
    """Return the assessment of what is not this line: nothing of it was said."""
    return Assessment(
        words=tuple(WordAssessment(index, "omitted", 0.0, ()) for index in range(count)),
        pronunciation=0.0,
        fluency=0.0,
        prosody=0.0,
        completeness=0.0,
        total=0.0,
        speech=speech,
        engine=engine,
        weights=dict(load_calibration().blend),
    )


def _unjudged(count: int, engine: dict[str, str]) -> Assessment:
    """Return the assessment of a line that cannot be read: nothing can be said of it."""
    return Assessment(
        words=tuple(WordAssessment(index, "ok", None, ()) for index in range(count)),
        pronunciation=None,
        fluency=None,
        prosody=None,
        completeness=None,
        total=None,
        speech="ok",
        engine=engine,
        weights={},
    )


def _percent(score: float) -> float:
    return min(max(score * PHONE_TO_PERCENT, 0.0), 100.0)
