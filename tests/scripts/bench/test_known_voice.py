"""The voice with a known F0, and the measure of a contour against it."""

import numpy as np

from analysis.audio import Recording
from analysis.contour import PitchContour
from analysis.pitch import track_pitch
from scripts.bench.known_voice import SAMPLE_RATE_HZ, STEP_S, accuracy, make


def test_the_truth_is_perfect_and_an_octave_is_wrong() -> None:
    truth = make(2.0, median_hz=150.0, seed=1).truth
    perfect = accuracy(truth, truth)
    assert (perfect.overall, perfect.near, perfect.rmse_semitones) == (1.0, 1.0, 0.0)
    octave = accuracy(PitchContour(truth.times, truth.hz * 2.0, STEP_S), truth)
    assert octave.near == 0.0
    assert octave.rmse_semitones == 12.0
    assert octave.voicing == 1.0


def test_a_contour_that_is_never_voiced_is_right_only_in_the_pauses() -> None:
    truth = make(2.0, median_hz=150.0, seed=1).truth
    silent = PitchContour(truth.times, np.full_like(truth.hz, np.nan), STEP_S)
    told = accuracy(silent, truth)
    assert told.overall == told.voicing == np.mean(~truth.voiced)
    assert told.near == 0.0
    assert np.isnan(told.rmse_semitones)


def test_praat_finds_the_f0_that_the_voice_was_made_with() -> None:
    voice = make(3.0, median_hz=200.0, seed=2)
    found = track_pitch(Recording.from_samples(voice.samples, SAMPLE_RATE_HZ))
    told = accuracy(found, voice.truth)
    assert told.overall > 0.95
    assert told.rmse_semitones < 0.2
