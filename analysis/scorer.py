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
from analysis.evidence import LineEvidence, PathEvidence, TextEvidence, gather
from analysis.gop import phone_scores
from analysis.insertion import Insertion, find_insertions
from analysis.line_features import line_features
from analysis.nativeness import Nativeness, nativeness
from analysis.network import PhoneNetwork, load_network
from analysis.presence import holds_speech, line_evidence, word_features
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
    line: dict[str, float]  # of HEADS
    absent: NDArray[np.bool_]  # (placed words,) those that were not said
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
    Silence, and speech that is not this line, get zeros and say so in `Assessment.speech`.

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
        return _unjudged(count, engine)
    rows = segments(alignment.placed)
    native = nativeness(recording.samples, rows)
    if native is None:
        return _unjudged(count, engine)
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
    absent = _absent(calibration, "gop", word_features(rows, evidence, scores, words), evidence)
    if absent is None:
        return None
    features = line_features(
        line.alignment, rows, scores, words,
        evidence=evidence, native=native,
        mel=line.mel, pitch=line.pitch, norms=calibration.durations,
    )  # fmt: skip
    return _Judged(scores, words, _line_scores(calibration, "gop", features), absent)


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
    absent = _absent(
        calibration, "network", word_features(rows, evidence, raw, raw_words), evidence
    )
    if absent is None:
        return None
    features = line_features(
        line.alignment, rows, raw, raw_words, judgement.line,
        evidence=evidence, native=native, mel=line.mel, pitch=line.pitch, norms=norms,
    )  # fmt: skip
    phones = refinement.refine(rows, judgement, evidence, native, mel=line.mel, norms=norms)
    return _Judged(
        phones,
        refined_words(rows, phones, raw_words),
        _line_scores(calibration, "network", features),
        absent,
        evidence,
        find_insertions(hearing.path, line.alignment.placed),
    )


def _absent(
    calibration: Calibration, scorer: str, words: NDArray[np.float64], evidence: TextEvidence
) -> NDArray[np.bool_] | None:
    """Return which words were not said, by their `word_features`; None when it is another text."""
    if calibration.wrong_text[scorer].flags(line_evidence(words, evidence)):
        return None
    return np.array([calibration.omission[scorer].flags(row) for row in words])


def _line_scores(
    calibration: Calibration, scorer: str, features: NDArray[np.float64]
) -> dict[str, float]:
    return {name: calibration.heads[scorer][name].score(features) for name in HEADS}


def _told(
    alignment: Alignment,
    count: int,
    judged: _Judged,
    engine: dict[str, str],
    calibration: Calibration,
) -> Assessment:
    """Tell the scores by reference word; what was not said counts 0 in all that it enters."""
    words = [WordAssessment(index, "ok", None, ()) for index in range(count)]
    at = 0
    for row, word in enumerate(alignment.placed):
        missing = bool(judged.absent[row])
        phones = []
        for phone in word.phones:
            score = 0.0 if missing else _percent(float(judged.phones[at]))
            said = None
            if judged.evidence is not None and not missing:
                said = said_instead(judged.evidence.phones[at], phone.phone, score)
            phones.append(
                PhoneAssessment(
                    phone.phone, phone.start, phone.end, score,
                    said.phone if said else None, said.confidence if said else None,
                )
            )  # fmt: skip
            at += 1
        score = 0.0 if missing else _percent(float(judged.words[row]))
        status: WordStatus = "ok" if score >= MISPRONOUNCED_BELOW else "mispronounced"
        status = "omitted" if missing else status
        words[word.index] = WordAssessment(word.index, status, score, tuple(phones))
    said_share = 1.0 - sum(word.status == "omitted" for word in words) / len(alignment.placed)
    parts = {
        "pronunciation": judged.line["accuracy"] * said_share,
        "fluency": judged.line["fluency"],
        "prosody": judged.line["prosodic"],
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
    """Return the assessment of a line that could not be placed: nothing can be said of it."""
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
