"""The judge of a line: phones from network or GOP, then words, then the utterance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.assessment import Assessment, PhoneAssessment, Profile, WordAssessment
from analysis.fluency import measure_fluency
from analysis.gop import phone_scores
from analysis.phones import PHONES

if TYPE_CHECKING:
    from analysis.alignment import Alignment
    from analysis.audio import Recording
    from analysis.contour import PitchContour
    from analysis.reference import Reference

MISPRONOUNCED_BELOW: Final = 60.0


def assess(
    recording: Recording,
    reference: Reference,
    alignment: Alignment,
    *,
    pitch: PitchContour,
    profile: Profile = "accurate",
) -> Assessment:
    """Judge an aligned recording.

    Parameters
    ----------
    recording, reference : the two inputs.
    alignment : where the words lie; see `Aligner`.
    pitch : the speaker's own contour, for prosody.
    profile : ``fast`` leaves out what costs most.
    """
    engine = {"aligner": alignment.method, "scorer": "gop", "profile": profile}
    if recording.is_silent:
        return _without_speech(len(reference.words), engine)
    table = np.tile([4.0, 1.0], (len(PHONES), 1))
    words: list[WordAssessment] = []
    for index, word in enumerate(alignment.words):
        if word is None:
            words.append(WordAssessment(index, "ok", None, ()))
            continue
        scores = phone_scores(word.phones, table)
        known = [score for score in scores if score is not None]
        mean = float(np.mean(known)) if known else None
        words.append(
            WordAssessment(
                index,
                "mispronounced" if mean is not None and mean < MISPRONOUNCED_BELOW else "ok",
                mean,
                tuple(
                    PhoneAssessment(phone.phone, phone.start, phone.end, score)
                    for phone, score in zip(word.phones, scores, strict=True)
                ),
            )
        )
    judged = [word.score for word in words if word.score is not None]
    accuracy = float(np.mean(judged)) if judged else None
    measures = measure_fluency(alignment)
    ratio = measures.phonation_ratio
    fluency = 100.0 * ratio if ratio is not None else None
    total = accuracy if fluency is None or accuracy is None else 0.7 * accuracy + 0.3 * fluency
    return Assessment(
        words=tuple(words),
        pronunciation=accuracy,
        fluency=fluency,
        prosody=fluency,
        completeness=100.0 if judged else None,
        total=total,
        speech="ok",
        engine=engine,
    )


def _without_speech(words: int, engine: dict[str, str]) -> Assessment:
    return Assessment(
        words=tuple(WordAssessment(index, "omitted", 0.0, ()) for index in range(words)),
        pronunciation=0.0,
        fluency=0.0,
        prosody=0.0,
        completeness=0.0,
        total=0.0,
        speech="no_speech",
        engine=engine,
    )
