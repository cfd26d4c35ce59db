"""Spectral likeness, on the synthetic lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.spectrum import compare_spectra

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech


@pytest.fixture(scope="module")
def actor(speech: Speech) -> Recording:
    return speech.recording("lantern", "actor")


def test_the_same_sound_scores_full_marks(actor: Recording) -> None:
    result = compare_spectra(actor, actor)
    assert result.score == pytest.approx(100.0, abs=0.01)
    assert result.distance == pytest.approx(0.0, abs=1e-6)


def test_another_voice_with_the_same_words_is_nearer_than_other_words(
    actor: Recording, speech: Speech
) -> None:
    same_words = compare_spectra(speech.recording("lantern", "good"), actor).score
    other_words = compare_spectra(speech.recording("stranger", "good"), actor).score
    assert same_words is not None
    assert other_words is not None
    assert same_words > other_words + 20.0


def test_a_slower_rendering_stays_near(actor: Recording, speech: Speech) -> None:
    good = compare_spectra(speech.recording("lantern", "good"), actor).score
    slower = compare_spectra(speech.recording("lantern", "slower"), actor).score
    assert good is not None
    assert slower == pytest.approx(good, abs=10.0)


def test_level_is_no_difference(actor: Recording) -> None:
    quiet = Recording.from_samples(actor.samples * 0.1, SAMPLE_RATE_HZ)
    assert compare_spectra(quiet, actor).score == pytest.approx(100.0, abs=2.0)


@pytest.mark.parametrize("length", [1, 399, 400, 2000])
def test_too_little_sound_has_no_score(actor: Recording, length: int) -> None:
    short = Recording.from_samples(np.full(length, 0.1), SAMPLE_RATE_HZ)
    assert compare_spectra(short, actor).score is None
