"""The one function that joins the measures: a recording and a reference to a result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

import analysis
from analysis.alignment import Aligner, Alignment
from analysis.assessment import Assessment, Profile, WordAssessment
from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.contour import PitchContour
from analysis.feedback import Advice, Evidence, advise
from analysis.fluency import Fluency, measure_fluency
from analysis.melody import PitchComparison, compare_pitch
from analysis.pitch import thin, track_pitch
from analysis.reference import Reference
from analysis.result import (
    AnalysisResult,
    AudioDetail,
    AudioWarningResult,
    Contours,
    FeedbackItem,
    FluencyDetail,
    LoudnessDetail,
    PhoneResult,
    PitchDetail,
    PitchParts,
    Scores,
    Span,
    SpectrumDetail,
    TimingDetail,
    TimingParts,
    Waveform,
    WordResult,
    WordScores,
)
from analysis.scorer import assess
from analysis.sentences import Language
from analysis.timing import TimingComparison, compare_timing

# Against an actor's line; renormalised over the scores that are there.
WEIGHTS: Final = {"pronunciation": 0.50, "timing": 0.25, "pitch": 0.25}
# What a plot of a phone's or a page's width can show.
CONTOUR_STEP_S: Final = 0.02
MAX_CONTOUR_POINTS: Final = 400
WAVEFORM_STEPS: Final = 300
WARM_UP_S: Final = 1.0


@dataclass(frozen=True)
class Options:
    """How to score.

    Attributes
    ----------
    profile : ``accurate``, or ``fast`` for less computing.
    language : of the feedback's sentences.
    """

    profile: Profile = "accurate"
    language: Language = "en"


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
        Speech that is silent or says something else gets zeros and says so in its feedback; a
        line that cannot be aligned gets null scores. Neither is an exception.
    """
    options = options or Options()
    clock = _Clock()
    with clock.stage("align"):
        alignment = _aligner().align(recording, reference)
    with clock.stage("pitch"):
        own_pitch = track_pitch(recording)
    with clock.stage("score"):
        assessment = assess(
            recording, reference, alignment, pitch=own_pitch, profile=options.profile
        )
        fluency = measure_fluency(alignment)
    heard = assessment.speech == "ok"
    omitted = frozenset(word.index for word in assessment.words if word.status == "omitted")
    timing = pitch = None
    with clock.stage("compare"):
        if reference.is_timed:
            timing = compare_timing(reference, alignment, omitted=omitted)
            target = _reference_pitch(reference)
            if target is not None:
                pitch = compare_pitch(
                    own_pitch,
                    target,
                    [
                        None if word is None or word.index in omitted else (word.start, word.end)
                        for word in alignment.words
                    ],
                    [_span_of(word.start, word.end) for word in reference.words],
                    omitted=omitted,
                )
    timing_score = _zeroed(heard, timing.score) if timing else None
    pitch_score = _zeroed(heard, pitch.score) if pitch else None
    scores, weights = _line_scores(reference, assessment, timing_score, pitch_score)
    evidence = Evidence(
        recording=recording,
        reference=reference,
        alignment=alignment,
        assessment=assessment,
        timing=timing,
        pitch=pitch,
        own_pitch=own_pitch,
        fluency=fluency,
        weights=weights,
        overall=scores.overall,
    )
    loudness, spectrum = None, None
    if reference.audio is not None and reference.is_timed and heard:
        with clock.stage("reference_audio"):
            loudness, spectrum = _against_audio(recording, reference, alignment, omitted)
    return AnalysisResult(
        scores=scores,
        weights=weights,
        words=[
            _word_result(reference, alignment, word, timing, pitch, heard=heard)
            for word in assessment.words
        ],
        pitch=_pitch_detail(own_pitch, pitch, heard=heard),
        timing=_timing_detail(timing, heard=heard),
        fluency=_fluency_detail(fluency, heard=heard),
        loudness=loudness,
        spectrum=spectrum,
        feedback=[_feedback_item(advice, options.language) for advice in advise(evidence)],
        audio=_audio_detail(recording),
        engine=_engine(assessment, alignment, options),
        timings_ms=clock.milliseconds(),
    )


def warm_up() -> None:
    """Load every model and library that scoring uses; call it once in each analysis process."""
    rng = np.random.default_rng(0)
    hum = 0.1 * np.sin(2 * np.pi * 120.0 * np.arange(int(WARM_UP_S * SAMPLE_RATE_HZ)) / 16_000)
    noisy = (hum + 0.01 * rng.standard_normal(hum.size)).astype(np.float32)
    recording = Recording.from_samples(noisy, SAMPLE_RATE_HZ)
    for profile in ("accurate", "fast"):
        score(recording, Reference.from_text("warm up"), options=Options(profile=profile))


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


def _reference_pitch(reference: Reference) -> PitchContour | None:
    """Return the actor's contour: as given, else from the actor's audio, else nothing."""
    if reference.pitch is not None:
        return reference.pitch
    return track_pitch(reference.audio) if reference.audio is not None else None


def _line_scores(
    reference: Reference, assessment: Assessment, timing: float | None, pitch: float | None
) -> tuple[Scores, dict[str, float]]:
    if reference.is_timed:
        measured = {
            "pronunciation": assessment.pronunciation,
            "timing": timing,
            "pitch": pitch,
        }
        overall, weights = blend(measured, WEIGHTS)
    else:
        overall = assessment.total
        weights = dict(assessment.weights) if overall is not None else {}
    scores = Scores(
        overall=overall,
        pronunciation=assessment.pronunciation,
        timing=timing,
        pitch=pitch,
        fluency=assessment.fluency,
        completeness=assessment.completeness,
        prosody=assessment.prosody,
    )
    return scores, weights


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
    return (
        sum(shares[name] * value for name, value in there.items()),
        {name: round(share, 4) for name, share in shares.items()},
    )


def _word_result(
    reference: Reference,
    alignment: Alignment,
    word: WordAssessment,
    timing: TimingComparison | None,
    pitch: PitchComparison | None,
    *,
    heard: bool,
) -> WordResult:
    spoken = alignment.words[word.index] if word.status != "omitted" else None
    theirs = reference.words[word.index]
    timed = timing.words[word.index] if timing and heard else None
    measured = {
        "pronunciation": word.score,
        "timing": timed.score if timed else None,
        "pitch": pitch.word_scores[word.index] if pitch and heard else None,
    }
    overall, _ = blend(measured, WEIGHTS)
    their_span = _span_of(theirs.start, theirs.end)
    return WordResult(
        index=word.index,
        word=theirs.text,
        status=word.status,
        scores=WordScores(overall=overall, **measured),
        reference=Span(start=their_span[0], end=their_span[1]) if their_span else None,
        user=Span(start=spoken.start, end=spoken.end) if spoken else None,
        phones=[
            PhoneResult(
                phone=phone.phone,
                score=phone.score,
                start=phone.start,
                end=phone.end,
                said=phone.said,
                said_confidence=phone.said_confidence,
            )
            for phone in word.phones
        ],
    )


def _pitch_detail(
    own: PitchContour, compared: PitchComparison | None, *, heard: bool
) -> PitchDetail:
    if compared is None:
        median = float(np.median(own.hz[own.voiced])) if own.voiced.any() else None
        return PitchDetail(user_median_hz=median)
    measured = heard and compared.score is not None
    return PitchDetail(
        parts=PitchParts(shape=compared.shape_score, range=compared.range_score)
        if measured
        else None,
        correlation=compared.correlation if measured else None,
        rmse_semitones=compared.rmse_semitones if measured else None,
        range_ratio=compared.range_ratio if measured else None,
        shared_frames=compared.shared_frames if heard else 0,
        user_median_hz=compared.user_median_hz,
        reference_median_hz=compared.reference_median_hz,
        contours=Contours(
            user=thin(compared.user_contour, step_s=CONTOUR_STEP_S, max_points=MAX_CONTOUR_POINTS),
            reference=thin(
                compared.reference_contour, step_s=CONTOUR_STEP_S, max_points=MAX_CONTOUR_POINTS
            ),
        ),
    )


def _timing_detail(timing: TimingComparison | None, *, heard: bool) -> TimingDetail:
    if timing is None or timing.score is None or not heard:
        return TimingDetail()
    return TimingDetail(
        parts=TimingParts(
            onsets=timing.onsets,
            tempo=timing.tempo,
            durations=timing.durations,
            pauses=timing.pauses,
            rhythm=timing.rhythm,
        ),
        offset_s=timing.offset,
        tempo_ratio=timing.tempo_ratio,
        onset_error_s=timing.onset_error,
        npvi_user=timing.npvi_user,
        npvi_reference=timing.npvi_reference,
        matched_words=timing.matched_words,
    )


def _fluency_detail(fluency: Fluency, *, heard: bool) -> FluencyDetail:
    if not heard:
        return FluencyDetail()
    return FluencyDetail(
        syllables=fluency.syllables,
        speech_rate=fluency.speech_rate,
        articulation_rate=fluency.articulation_rate,
        phonation_ratio=fluency.phonation_ratio,
        pause_count=len(fluency.pauses),
        pause_total_s=fluency.pause_total,
        longest_pause_s=fluency.longest_pause,
        npvi_vowels=fluency.npvi_vowels,
        percent_vowels=fluency.percent_vowels,
    )


def _against_audio(
    recording: Recording, reference: Reference, alignment: Alignment, omitted: frozenset[int]
) -> tuple[LoudnessDetail | None, SpectrumDetail | None]:
    return None, None


def _feedback_item(advice: Advice, language: Language) -> FeedbackItem:
    start, end = advice.span or (None, None)
    return FeedbackItem(
        code=advice.code,
        message=advice.say(language),
        word_index=advice.word_index,
        start=start,
        end=end,
        effect=advice.effect,
        values=advice.values,
    )


def _audio_detail(recording: Recording) -> AudioDetail:
    return AudioDetail(
        duration_s=recording.duration,
        container=recording.source.container,
        codec=recording.source.codec,
        channels=recording.source.channels,
        sample_rate_hz=recording.source.sample_rate,
        peak_dbfs=_finite(recording.peak_dbfs),
        rms_dbfs=_finite(recording.rms_dbfs),
        warnings=[AudioWarningResult(code=w.code, message=w.message) for w in recording.warnings],
        waveform=_waveform(recording),
    )


def _waveform(recording: Recording) -> Waveform:
    size = max(1, -(-recording.samples.size // WAVEFORM_STEPS))
    starts = np.arange(0, recording.samples.size, size)
    peaks = np.maximum.reduceat(np.abs(recording.samples), starts)
    return Waveform(
        step_s=size / recording.sample_rate, peaks=np.rint(100.0 * peaks).astype(int).tolist()
    )


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


def _span_of(start: float | None, end: float | None) -> tuple[float, float] | None:
    return None if start is None or end is None else (start, end)


def _zeroed(heard: bool, value: float | None) -> float | None:
    return value if heard else 0.0


def _finite(decibels: float) -> float | None:
    return decibels if np.isfinite(decibels) else None
