"""Comparing two melodies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.contour import PitchContour
from analysis.melody import MIN_SHARED_FRAMES, PitchComparison, compare_pitch

WORDS = [(0.2, 0.7), (0.8, 1.5), (1.5, 2.2)]


def melody(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Semitones: three hills of different height and a fall at the end."""
    return 3.0 * np.sin(4.0 * times) + 2.0 * np.sin(9.0 * times) - 1.5 * times


def contour(
    semitones: NDArray[np.float64], times: NDArray[np.float64], base_hz: float = 120.0
) -> PitchContour:
    step = float(np.median(np.diff(times)))
    return PitchContour(times=times, hz=base_hz * 2.0 ** (semitones / 12.0), step_s=step)


TIMES = np.arange(0.0, 2.4, 0.01)
ACTOR = contour(melody(TIMES), TIMES)


def compared(user: PitchContour, reference: PitchContour = ACTOR) -> PitchComparison:
    return compare_pitch(user, reference, WORDS, WORDS)


def test_the_same_melody_scores_full_marks() -> None:
    result = compared(ACTOR)
    assert result.score == pytest.approx(100.0, abs=0.1)
    assert result.correlation == pytest.approx(1.0, abs=1e-3)
    assert result.range_ratio == pytest.approx(1.0, abs=1e-2)
    assert all(score == pytest.approx(100.0, abs=0.5) for score in result.word_scores)


@pytest.mark.parametrize("base_hz", [60.0, 95.0, 240.0, 400.0])
def test_another_register_is_no_difference(base_hz: float) -> None:
    assert compared(contour(melody(TIMES), TIMES, base_hz)).score == pytest.approx(100.0, abs=0.1)


def test_a_flat_voice_scores_little_and_says_why() -> None:
    result = compared(contour(np.zeros(TIMES.size), TIMES))
    assert result.score is not None
    assert result.score < 25.0
    assert result.range_ratio == pytest.approx(0.0, abs=1e-6)
    assert result.correlation == 0.0


def test_a_melody_upside_down_scores_nothing() -> None:
    result = compared(contour(-melody(TIMES), TIMES))
    assert result.score is not None
    assert result.score < 10.0
    assert result.correlation is not None
    assert result.correlation < -0.5


def test_the_score_falls_as_the_melody_is_flattened_and_as_it_is_exaggerated() -> None:
    by_factor = {
        factor: compared(contour(factor * melody(TIMES), TIMES)).score or 0.0
        for factor in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    }
    assert by_factor[0.25] < by_factor[0.5] < by_factor[0.75] < by_factor[1.0]
    assert by_factor[1.0] > by_factor[1.5] > by_factor[2.0]


def test_a_slower_speaker_is_compared_word_over_word() -> None:
    slow = np.arange(0.0, 4.8, 0.01)
    user = contour(melody(slow / 2.0), slow)
    doubled = [(2.0 * start, 2.0 * end) for start, end in WORDS]
    result = compare_pitch(user, ACTOR, doubled, WORDS)
    assert result.score == pytest.approx(100.0, abs=0.5)


@pytest.mark.parametrize("shift", [-0.04, 0.04])
def test_word_boundaries_a_little_off_are_forgiven(shift: float) -> None:
    moved = [(start + shift, end + shift) for start, end in WORDS]
    result = compare_pitch(ACTOR, ACTOR, moved, WORDS)
    assert result.score is not None
    assert result.score > 97.0


def test_a_coarse_reference_is_compared_at_its_own_values_only() -> None:
    coarse = np.arange(0.05, 2.4, 0.1)
    result = compared(ACTOR, contour(melody(coarse), coarse))
    inside = sum(((coarse >= start) & (coarse < end)).sum() for start, end in WORDS)
    assert result.shared_frames == inside
    assert result.score is not None
    assert result.score > 97.0
    assert result.word_scores == (None, None, None)


def test_below_ten_shared_frames_there_is_no_score() -> None:
    few = contour(melody(TIMES), TIMES)
    hz = np.full(TIMES.size, np.nan)
    hz[30 : 30 + MIN_SHARED_FRAMES - 1] = few.hz[30 : 30 + MIN_SHARED_FRAMES - 1]
    result = compared(PitchContour(TIMES, hz, 0.01))
    assert result.shared_frames < MIN_SHARED_FRAMES
    assert result.score is None
    assert result.word_scores == (None, None, None)


def test_a_whisper_has_no_pitch_score() -> None:
    result = compared(PitchContour(TIMES, np.full(TIMES.size, np.nan), 0.01))
    assert result.score is None
    assert result.user_median_hz is None


def test_a_wrong_word_is_told_from_the_right_ones() -> None:
    semitones = melody(TIMES)
    start, end = WORDS[1]
    wrong = (start < TIMES) & (end > TIMES)
    semitones[wrong] = 2.0 * semitones[wrong].mean() - semitones[wrong]
    first, second, third = compared(contour(semitones, TIMES)).word_scores
    assert first is not None
    assert second is not None
    assert third is not None
    assert second < min(first, third) - 30.0


def test_omitted_words_count_as_nothing_sung() -> None:
    spans = [WORDS[0], None, WORDS[2]]
    whole = compare_pitch(ACTOR, ACTOR, spans, WORDS)
    missed = compare_pitch(ACTOR, ACTOR, spans, WORDS, omitted=frozenset({1}))
    assert whole.score == pytest.approx(100.0, abs=0.1)
    voiced = {"said": 50 + 70, "all": 50 + 70 + 70}
    assert missed.score == pytest.approx(100.0 * voiced["said"] / voiced["all"], abs=1.5)


def test_the_end_of_the_line_is_measured_for_both() -> None:
    rising = melody(TIMES)
    last = WORDS[2][0] <= TIMES
    rising[last] = np.linspace(0.0, 6.0, int(last.sum()))
    falling = rising.copy()
    falling[last] = np.linspace(0.0, -6.0, int(last.sum()))
    result = compared(contour(falling, TIMES), contour(rising, TIMES))
    assert result.final_movement is not None
    ours, theirs = result.final_movement
    assert ours < -3.0
    assert theirs > 3.0


def test_an_octave_error_of_the_references_tracker_costs_nothing() -> None:
    hz = ACTOR.hz.copy()
    hz[100:112] *= 2.0
    result = compared(ACTOR, PitchContour(TIMES, hz, 0.01))
    assert result.score == pytest.approx(100.0, abs=0.5)


@given(
    seed=st.integers(0, 2**32 - 1),
    voiced=st.floats(0.0, 1.0),
    spread=st.floats(0.0, 30.0),
    step=st.sampled_from([0.005, 0.01, 0.1]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_contours_every_score_stays_on_the_scale(
    seed: int, voiced: float, spread: float, step: float
) -> None:
    rng = np.random.default_rng(seed)

    def any_contour() -> PitchContour:
        times = np.arange(0.0, 2.4, step)
        hz = np.clip(150.0 * 2.0 ** (spread * rng.standard_normal(times.size) / 12.0), 20.0, 4000.0)
        hz[rng.random(times.size) > voiced] = np.nan
        return PitchContour(times, hz, step)

    result = compared(any_contour(), any_contour())
    scores = [result.score, result.shape_score, result.range_score, *result.word_scores]
    assert all(0.0 <= score <= 100.0 for score in scores if score is not None)
    assert (result.score is None) is (result.shared_frames < MIN_SHARED_FRAMES)
