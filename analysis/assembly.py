"""Measures to the result model: each block of a result from what was measured for it."""

from __future__ import annotations

from typing import Final

import numpy as np

from analysis.aligned import AlignedWord
from analysis.assessment import WordAssessment
from analysis.audio import Recording
from analysis.contour import PitchContour
from analysis.feedback import Advice
from analysis.fluency import Fluency
from analysis.loudness import LoudnessComparison
from analysis.melody import PitchComparison
from analysis.pitch import thin
from analysis.reference_words import ReferenceWord
from analysis.result import (
    AudioDetail,
    AudioWarningResult,
    Contours,
    FeedbackItem,
    FluencyDetail,
    LoudnessDetail,
    PhoneResult,
    PitchDetail,
    PitchParts,
    Span,
    SpectrumDetail,
    TimingDetail,
    TimingParts,
    Waveform,
    WordResult,
    WordScores,
)
from analysis.sentences import Language
from analysis.spectrum import SpectrumComparison
from analysis.timing import TimingComparison

# What a plot of a phone's or a page's width can show.
CONTOUR_STEP_S: Final = 0.02
MAX_CONTOUR_POINTS: Final = 400
MAX_WAVEFORM_STEPS: Final = 600
WAVEFORM_STEP_S: Final = 0.01


def word_result(
    reference: ReferenceWord,
    assessment: WordAssessment,
    placed: AlignedWord | None,
    scores: WordScores,
) -> WordResult:
    """Tell of one word; `placed` is where the recording has it, None when it was left out."""
    return WordResult(
        index=assessment.index,
        word=reference.text,
        status=assessment.status,
        scores=scores,
        reference=None
        if reference.start is None or reference.end is None
        else Span(start=reference.start, end=reference.end),
        user=None if placed is None else Span(start=placed.start, end=placed.end),
        phones=[
            PhoneResult(
                phone=phone.phone,
                score=phone.score,
                start=phone.start,
                end=phone.end,
                said=phone.said,
                said_confidence=phone.said_confidence,
            )
            for phone in assessment.phones
        ],
    )


def pitch_detail(own: PitchContour, compared: PitchComparison | None) -> PitchDetail:
    """Tell of the melody; without a comparison, of the speaker's own median alone."""
    if compared is None:
        voiced = own.hz[own.voiced]
        return PitchDetail(user_median_hz=float(np.median(voiced)) if voiced.size else None)
    parts = None
    if compared.score is not None:
        parts = PitchParts(shape=compared.shape_score, range=compared.range_score)
    return PitchDetail(
        parts=parts,
        correlation=compared.correlation,
        rmse_semitones=compared.rmse_semitones,
        range_ratio=compared.range_ratio,
        shared_frames=compared.shared_frames,
        user_median_hz=compared.user_median_hz,
        reference_median_hz=compared.reference_median_hz,
        contours=Contours(
            user=thin(compared.user_contour, step_s=CONTOUR_STEP_S, max_points=MAX_CONTOUR_POINTS),
            reference=thin(
                compared.reference_contour, step_s=CONTOUR_STEP_S, max_points=MAX_CONTOUR_POINTS
            ),
        ),
    )


def timing_detail(timing: TimingComparison | None) -> TimingDetail:
    """Tell of the timing; empty without a comparison or a word to compare."""
    if timing is None or timing.score is None:
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


def fluency_detail(fluency: Fluency) -> FluencyDetail:
    """Tell how the speech flows."""
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


def loudness_detail(compared: LoudnessComparison) -> LoudnessDetail:
    """Tell of the loudness shape."""
    return LoudnessDetail(
        score=compared.score,
        correlation=compared.correlation,
        range_ratio=compared.range_ratio,
    )


def spectrum_detail(compared: SpectrumComparison) -> SpectrumDetail:
    """Tell of the spectral likeness."""
    return SpectrumDetail(
        score=compared.score,
        distance=compared.distance,
        chance_distance=compared.chance_distance,
    )


def feedback_item(advice: Advice, language: Language) -> FeedbackItem:
    """Tell one advice in a language."""
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


def audio_detail(recording: Recording) -> AudioDetail:
    """Tell of the recording as it came."""
    source = recording.source
    return AudioDetail(
        duration_s=recording.duration,
        container=source.container,
        codec=source.codec,
        channels=source.channels,
        sample_rate_hz=source.sample_rate,
        peak_dbfs=_finite(recording.peak_dbfs),
        rms_dbfs=_finite(recording.rms_dbfs),
        warnings=[AudioWarningResult(code=w.code, message=w.message) for w in recording.warnings],
        waveform=_waveform(recording),
    )


def _waveform(recording: Recording) -> Waveform:
    size = max(
        int(WAVEFORM_STEP_S * recording.sample_rate),
        -(-recording.samples.size // MAX_WAVEFORM_STEPS),
    )
    starts = np.arange(0, recording.samples.size, size)
    peaks = np.maximum.reduceat(np.abs(recording.samples), starts)
    return Waveform(
        step_s=size / recording.sample_rate, peaks=np.rint(100.0 * peaks).astype(int).tolist()
    )


def _finite(decibels: float) -> float | None:
    return decibels if np.isfinite(decibels) else None
