"""The one function that joins the measures: a recording and a reference to a result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, get_args

import numpy as np

import analysis
from analysis.aligned import Alignment
from analysis.alignment import Aligner
from analysis.assembly import (
    audio_detail,
    feedback_item,
    fluency_detail,
    loudness_detail,
    pitch_detail,
    spectrum_detail,
    timing_detail,
    word_result,
)
from analysis.assessment import Assessment, Profile
from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.contour import PitchContour
from analysis.feedback import Evidence, advise
from analysis.fluency import measure_fluency
from analysis.loudness import compare_loudness
from analysis.melody import PitchComparison, compare_pitch
from analysis.pitch import track_pitch
from analysis.reference import Reference
from analysis.result import (
    AnalysisResult,
    FluencyDetail,
    InsertionResult,
    LoudnessDetail,
    Scores,
    SpectrumDetail,
    WordScores,
)
from analysis.scorer import assess
from analysis.sentences import Language
from analysis.spectrum import compare_spectra
from analysis.timing import TimingComparison, compare_timing
from analysis.warp import Span

# Against an actor's line; renormalised over the scores that are there.
WEIGHTS: Final = {"pronunciation": 0.50, "timing": 0.25, "pitch": 0.25}
WEIGHT_DECIMALS: Final = 4
WARM_UP_S: Final = 1.0
WARM_UP_HZ: Final = 120.0
WARM_UP_SYLLABLES_HZ: Final = 4.0


@dataclass(frozen=True)
class Options:
    """How to score.

    Attributes
    ----------
    profile : ``accurate``, or ``fast`` for less computing.
    language : of the feedback's sentences, ``en`` or ``ko``.

    Raises
    ------
    ValueError
        There is no such profile or language.
    """

    profile: Profile = "accurate"
    language: Language = "en"

    def __post_init__(self) -> None:
        """Refuse here what would be a bare KeyError deep in the scoring."""
        for name, known in (("profile", Profile), ("language", Language)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise ValueError(f"{name} {value!r}: give {' or '.join(get_args(known))}")


@dataclass(frozen=True)
class _Comparison:
    """What was measured against the actor; None where an input for it is missing."""

    timing: TimingComparison | None = None
    pitch: PitchComparison | None = None
    loudness: LoudnessDetail | None = None
    spectrum: SpectrumDetail | None = None


def score(
    recording: Recording, reference: Reference, *, options: Options | None = None
) -> AnalysisResult:
    """Score a recording against an actor's line, or against the line's text.

    Parameters
    ----------
    recording : mono speech.
    reference : with word times, the overall score is 0.50 pronunciation + 0.25 timing + 0.25
        pitch, renormalised over those that are not null; of text alone, the blend that was
        fitted to experts' total scores.
    options : defaults to `Options()`.

    Returns
    -------
    AnalysisResult
        A function of the two inputs, the options and the version alone, `timings_ms` aside.
        A recording that is silent or says something else gets zeros and says so in its feedback;
        a text that cannot be read gets null scores. Neither is an exception.

    Raises
    ------
    ReferenceFormatError
        Code ``reference_invalid``: the line has more phones than anybody says in two minutes.
    """
    options = options or Options()
    clock = _Clock()
    with clock.stage("align"):
        alignment = _aligner().align(recording, reference)
    with clock.stage("pitch"):
        own_pitch = track_pitch(recording)
    with clock.stage("assess"):
        assessment = assess(
            recording, reference, alignment, pitch=own_pitch, profile=options.profile
        )
        # What was not said has no place, wherever the line's path had to put it.
        alignment = alignment.without(_omitted(assessment))
        fluency = measure_fluency(alignment)
    heard = assessment.speech == "ok"
    with clock.stage("compare"):
        compared = (
            _compare(recording, reference, alignment, assessment, own_pitch)
            if heard
            else _Comparison()
        )
    scores, weights = _line_scores(reference, assessment, compared)
    with clock.stage("feedback"):
        advice = advise(
            Evidence(
                recording=recording,
                reference=reference,
                alignment=alignment,
                assessment=assessment,
                timing=compared.timing,
                pitch=compared.pitch,
                own_pitch=own_pitch,
                fluency=fluency,
                weights=weights,
                overall=scores.overall,
            )
        )
    return AnalysisResult(
        scores=scores,
        weights=weights,
        words=[
            word_result(
                reference.words[word.index],
                word,
                alignment.words[word.index],
                _word_scores(word.index, word.score, compared),
            )
            for word in assessment.words
        ],
        insertions=[
            InsertionResult(start=one.start, end=one.end, before_word_index=one.before)
            for one in assessment.insertions
        ],
        pitch=pitch_detail(own_pitch, compared.pitch),
        timing=timing_detail(compared.timing),
        fluency=fluency_detail(fluency) if heard else FluencyDetail(),
        loudness=compared.loudness,
        spectrum=compared.spectrum,
        feedback=[feedback_item(item, options.language) for item in advice],
        audio=audio_detail(recording),
        engine=_engine(assessment, alignment, options),
        timings_ms=clock.milliseconds(),
    )


def warm_up(*, reference_audio: bool = False) -> None:
    """Load every model and library that scoring uses; call it once in each analysis process.

    Parameters
    ----------
    reference_audio : also load what only jobs with the actor's audio use (librosa, and with it
        scipy and numba: seconds of CPU and some 130 MB).
    """
    times = np.arange(int(WARM_UP_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(0).standard_normal(times.size)
    # It rises and falls as syllables do: a steady hum would be told from speech, and not be judged.
    loudness = np.sin(np.pi * WARM_UP_SYLLABLES_HZ * times) ** 2
    hum = loudness * (0.1 * np.sin(2.0 * np.pi * WARM_UP_HZ * times) + 0.01 * noise)
    recording = Recording.from_samples(hum.astype(np.float32), SAMPLE_RATE_HZ)
    reference = Reference.from_text("warm up")
    for profile in ("accurate", "fast"):
        score(recording, reference, options=Options(profile=profile))
    if reference_audio:
        compare_spectra(recording, recording)


def blend(
    scores: Mapping[str, float | None], weights: Mapping[str, float]
) -> tuple[float | None, dict[str, float]]:
    """Join scores by weights renormalised over those that are not None.

    Returns
    -------
    The weighted mean and the weights that made it; None and no weights when there is no score.
    """
    there = {name: value for name, value in scores.items() if value is not None}
    total = sum(weights[name] for name in there)
    if not there:
        return None, {}
    shares = {name: weights[name] / total for name in there}
    return sum(shares[name] * value for name, value in there.items()), shares


class _Clock:
    """Wall time of each stage, in the order in which they were entered."""

    def __init__(self) -> None:
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name] = 1000.0 * (time.perf_counter() - start)

    def milliseconds(self) -> dict[str, float]:
        return {name: round(spent, 1) for name, spent in self._stages.items()}


@lru_cache(maxsize=1)
def _aligner() -> Aligner:
    return Aligner()


def _omitted(assessment: Assessment) -> frozenset[int]:
    return frozenset(word.index for word in assessment.words if word.status == "omitted")


def _compare(
    recording: Recording,
    reference: Reference,
    alignment: Alignment,
    assessment: Assessment,
    own_pitch: PitchContour,
) -> _Comparison:
    """Measure against the actor whatever the reference has inputs for."""
    if not reference.is_timed:
        return _Comparison()
    omitted = _omitted(assessment)
    ours: list[Span | None] = [
        None if word is None else (word.start, word.end) for word in alignment.words
    ]
    theirs: list[Span | None] = [
        None if word.start is None or word.end is None else (word.start, word.end)
        for word in reference.words
    ]
    target = _reference_pitch(reference)
    audio = reference.audio
    return _Comparison(
        timing=compare_timing(reference, alignment, omitted=omitted),
        pitch=None
        if target is None
        else compare_pitch(own_pitch, target, ours, theirs, omitted=omitted),
        loudness=None
        if audio is None
        else loudness_detail(compare_loudness(recording, audio, ours, theirs)),
        spectrum=None if audio is None else spectrum_detail(compare_spectra(recording, audio)),
    )


def _reference_pitch(reference: Reference) -> PitchContour | None:
    """Return the actor's contour: as given, else from the actor's audio, else nothing."""
    if reference.pitch is not None:
        return reference.pitch
    return track_pitch(reference.audio) if reference.audio is not None else None


def _line_scores(
    reference: Reference, assessment: Assessment, compared: _Comparison
) -> tuple[Scores, dict[str, float]]:
    timing = compared.timing.score if compared.timing else None
    pitch = compared.pitch.score if compared.pitch else None
    if assessment.speech != "ok" and reference.is_timed:
        timing = 0.0
        has_pitch = reference.pitch is not None or reference.audio is not None
        pitch = 0.0 if has_pitch else None
    if reference.is_timed:
        measured = {"pronunciation": assessment.pronunciation, "timing": timing, "pitch": pitch}
        overall, weights = blend(measured, WEIGHTS)
    else:
        overall = assessment.total
        weights = {} if overall is None else assessment.weights
    scores = Scores(
        overall=overall,
        pronunciation=assessment.pronunciation,
        timing=timing,
        pitch=pitch,
        fluency=assessment.fluency,
        completeness=assessment.completeness,
        prosody=assessment.prosody,
    )
    return scores, {name: round(share, WEIGHT_DECIMALS) for name, share in weights.items()}


def _word_scores(index: int, pronunciation: float | None, compared: _Comparison) -> WordScores:
    word = compared.timing.words[index] if compared.timing else None
    timing = word.score if word else None
    pitch = compared.pitch.word_scores[index] if compared.pitch else None
    overall, _ = blend({"pronunciation": pronunciation, "timing": timing, "pitch": pitch}, WEIGHTS)
    return WordScores(overall=overall, pronunciation=pronunciation, timing=timing, pitch=pitch)


def _engine(assessment: Assessment, alignment: Alignment, options: Options) -> dict[str, str]:
    engine = {
        "version": analysis.__version__,
        "profile": options.profile,
        "aligner": alignment.method,
        **assessment.engine,
    }
    if alignment.note is not None:
        engine["alignment_note"] = alignment.note
    return engine
