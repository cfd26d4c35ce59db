"""The loudness shape against the actor's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.loudness import LoudnessComparison, compare_loudness

Voice = Callable[[NDArray[np.float64]], Recording]
WORDS = [(0.2, 0.8), (0.8, 1.5), (1.7, 2.4)]
TIMES = np.arange(int(2.6 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
SHAPE_DB = 8.0 * np.sin(5.0 * TIMES) - 4.0 * TIMES


def spoken(voice: Voice, level_db: NDArray[np.float64]) -> Recording:
    even = voice(np.full(TIMES.size, 130.0)).samples
    return Recording.from_samples(even * 10.0 ** (level_db / 20.0) * 0.2, SAMPLE_RATE_HZ)


def compared(user: Recording, reference: Recording) -> LoudnessComparison:
    return compare_loudness(user, reference, WORDS, WORDS)


def test_the_same_shape_scores_full_marks_at_any_level(voice: Voice) -> None:
    actor = spoken(voice, SHAPE_DB)
    for gain_db in (-20.0, 0.0, 6.0):
        result = compared(spoken(voice, SHAPE_DB + gain_db), actor)
        assert result.score == pytest.approx(100.0, abs=1.0)


def test_an_even_voice_scores_little(voice: Voice) -> None:
    result = compared(spoken(voice, np.zeros(TIMES.size)), spoken(voice, SHAPE_DB))
    assert result.score is not None
    assert result.score < 30.0
    assert result.range_ratio is not None
    assert result.range_ratio < 0.2


def test_the_opposite_shape_scores_nothing(voice: Voice) -> None:
    result = compared(spoken(voice, -SHAPE_DB), spoken(voice, SHAPE_DB))
    assert result.score is not None
    assert result.score < 10.0
    assert result.correlation is not None
    assert result.correlation < 0.0


def test_without_matched_words_there_is_no_score(voice: Voice) -> None:
    actor = spoken(voice, SHAPE_DB)
    assert compare_loudness(actor, actor, [None] * 3, WORDS).score is None


def test_digital_silence_is_no_error(voice: Voice) -> None:
    silent = Recording.from_samples(np.zeros(TIMES.size), SAMPLE_RATE_HZ)
    result = compared(silent, spoken(voice, SHAPE_DB))
    assert result.score is None or np.isfinite(result.score)
