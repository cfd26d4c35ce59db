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
from analysis.evidence import LineEvidence, gather
from analysis.gop import GOP_UNKNOWN_NATS, phone_scores
from analysis.insertion import find_insertions
from analysis.line_features import line_features, with_hearing
from analysis.native_model import load_native_model
from analysis.nativeness import nativeness
from analysis.network import PhoneNetwork, load_network
from analysis.presence import holds_speech, line_evidence, word_features
from analysis.refinement import load_refinement, refined_words
from analysis.segments import Segments, segments
from analysis.substitution import said_instead
from analysis.trellis import best_path, log_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.alignment import Alignment
    from analysis.audio import Recording
    from analysis.contour import PitchContour
    from analysis.reference import Reference

# A word that experts would give less than 7 of 10: "an accent that hinders".
MISPRONOUNCED_BELOW: Final = 70.0
PHONE_TO_PERCENT: Final = 50.0  # the experts' 0–2


@dataclass(frozen=True, eq=False)
class _Judged:
    """A line's scores before they are told: phones and words on 0–2, the line on 0–100."""

    phones: NDArray[np.float64]
    words: NDArray[np.float64]
    line: dict[str, float]  # of HEADS
    # Of the network alone: its evidence, and which of the placed words were not said.
    evidence: LineEvidence | None = None
    absent: NDArray[np.bool_] | None = None


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
    profile : ``fast`` scores the phones at one alignment, ``accurate`` at three.
    """
    calibration = load_calibration()
    network = load_network()
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
    judged: _Judged | None
    if network is None:
        judged = _by_gop(calibration, alignment, rows, mel=mel, pitch=pitch)
    else:
        judged = _by_network(
            network, calibration, recording, alignment, rows, pitch=pitch, profile=profile
        )
    if judged is None:
        return _zeros(count, "wrong_text", engine)
    return _told(alignment, count, judged, engine, calibration)


def _by_gop(
    calibration: Calibration,
    alignment: Alignment,
    rows: Segments,
    *,
    mel: NDArray[np.float32],
    pitch: PitchContour,
) -> _Judged:
    likelihoods = _likelihoods(alignment)
    scores = phone_scores(rows.phones, likelihoods, calibration.gop) / PHONE_TO_PERCENT
    words = rows.word_means(scores)
    features = line_features(
        alignment, rows, scores, words,
        own=likelihoods, lead=likelihoods,
        mel=mel, pitch=pitch, norms=calibration.durations,
    )  # fmt: skip
    return _Judged(scores, words, _line_scores(calibration, "gop", features))


def _by_network(
    network: PhoneNetwork,
    calibration: Calibration,
    recording: Recording,
    alignment: Alignment,
    rows: Segments,
    *,
    pitch: PitchContour,
    profile: Profile,
) -> _Judged | None:
    """Judge by the network; None when this is another text."""
    # Ahead of all that may end here: a warm-up reaches this line, and then no job waits for it.
    refinement = load_refinement()
    load_native_model()
    mel = recording.log_mel
    words = [[phone.phone for phone in word.phones] for word in alignment.placed]
    priors = calibration.log_priors
    hearing = alignment.hearing
    heard = hearing.heard if hearing else network.listen(mel)
    path = hearing.path if hearing else best_path(log_evidence(heard.posteriors, priors), words)
    judgement = judge(network, heard, rows, words, priors, profile=profile)
    evidence = gather(heard.posteriors, rows, path, priors)
    raw, raw_words = judgement.phones.astype(np.float64), judgement.words.astype(np.float64)
    features = word_features(rows, evidence, raw, raw_words)
    absent = np.array([calibration.omission.flags(row) for row in features])
    if calibration.wrong_text.flags(line_evidence(features, rows, evidence)):
        return None
    whole = line_features(
        alignment, rows, raw, raw_words,
        own=evidence.own(rows), lead=evidence.lead(rows),
        mel=mel, pitch=pitch, norms=calibration.durations,
    )  # fmt: skip
    native = nativeness(recording.samples, rows)
    line = _line_scores(calibration, "network", with_hearing(whole, evidence, native, judgement))
    phones = refinement.refine(
        rows, judgement, evidence, native, mel=mel, norms=calibration.durations
    )
    return _Judged(phones, refined_words(rows, phones, raw_words), line, evidence, absent)


def _likelihoods(alignment: Alignment) -> NDArray[np.float64]:
    found = [phone.log_likelihood for word in alignment.placed for phone in word.phones]
    return np.array([GOP_UNKNOWN_NATS if one is None else one for one in found])


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
        missing = judged.absent is not None and bool(judged.absent[row])
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
        insertions=find_insertions(judged.evidence.path, alignment.placed)
        if judged.evidence is not None and judged.evidence.path is not None
        else (),
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
