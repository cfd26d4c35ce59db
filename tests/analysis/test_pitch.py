"""Tracking F0 and mending contours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.contour import PitchContour
from analysis.pitch import (
    plausible,
    repair_octaves,
    spread_semitones,
    thin,
    track_pitch,
    voice_range,
)

Voice = Callable[[NDArray[np.float64]], Recording]


def seconds(length: float) -> NDArray[np.float64]:
    return np.arange(int(length * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def contour(hz: list[float], step_s: float = 0.01) -> PitchContour:
    values = np.array(hz, dtype=np.float64)
    return PitchContour(
        times=np.arange(values.size, dtype=np.float64) * step_s, hz=values, step_s=step_s
    )


@pytest.mark.parametrize("median_hz", [80.0, 120.0, 220.0, 330.0, 480.0])
def test_a_glide_is_tracked_in_every_register(voice: Voice, median_hz: float) -> None:
    times = seconds(1.2)
    wanted = median_hz * 2.0 ** (0.3 * np.sin(2 * np.pi * times))
    tracked = track_pitch(voice(wanted))
    expected = np.interp(tracked.times, times, wanted)
    error = 12.0 * np.log2(tracked.hz / expected)
    assert tracked.voiced.mean() > 0.9
    assert np.nanmax(np.abs(error)) < 0.3


def test_silence_between_words_is_unvoiced(voice: Voice) -> None:
    times = seconds(1.0)
    gap = (times > 0.4) & (times < 0.6)
    tracked = track_pitch(voice(np.where(gap, np.nan, 150.0)))
    inside = (tracked.times > 0.44) & (tracked.times < 0.56)
    assert not tracked.voiced[inside].any()
    assert tracked.voiced[(tracked.times > 0.1) & (tracked.times < 0.3)].all()


@pytest.mark.parametrize("length", [1, 160, 800, 1100, 1200, 1600, 3200])
def test_recordings_shorter_than_the_window_have_no_pitch_and_no_error(
    voice: Voice, length: int
) -> None:
    tracked = track_pitch(voice(np.full(length, 110.0)))
    assert tracked.times.size == tracked.hz.size


def test_noise_and_silence_have_no_pitch() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(SAMPLE_RATE_HZ)
    for samples in (noise, 0.0 * noise):
        assert not track_pitch(Recording.from_samples(samples, SAMPLE_RATE_HZ)).voiced.any()


def test_the_range_is_that_of_the_two_pass_method() -> None:
    assert voice_range(np.array([100.0, 100.0, 200.0, 200.0])) == (75.0, 500.0)
    assert voice_range(np.full(4, 60.0)) == (50.0, 150.0)
    assert voice_range(np.full(4, 400.0)) == (300.0, 800.0)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_stretch_an_octave_off_is_mended(factor: float) -> None:
    true = np.linspace(120.0, 180.0, 60)
    wrong = true.copy()
    wrong[20:35] *= factor
    np.testing.assert_allclose(repair_octaves(contour(wrong.tolist())).hz, true)


def test_an_octave_error_before_a_gap_is_mended() -> None:
    true = [*[110.0] * 30, *[np.nan] * 5, *[120.0] * 30]
    wrong = [*[110.0] * 22, *[220.0] * 8, *[np.nan] * 5, *[120.0] * 30]
    np.testing.assert_allclose(repair_octaves(contour(wrong)).hz, true)


def test_a_leap_after_a_pause_is_the_voices_own() -> None:
    said = contour([*[110.0] * 30, *[np.nan] * 30, *[215.0] * 30])
    np.testing.assert_array_equal(repair_octaves(said).hz, said.hz)


def test_a_fast_wide_glide_is_let_be() -> None:
    glide = contour((100.0 * 2.0 ** np.linspace(0.0, 1.3, 40)).tolist())
    np.testing.assert_array_equal(repair_octaves(glide).hz, glide.hz)


def test_values_outside_the_voice_are_unvoiced_not_guessed() -> None:
    read = contour([430.0, np.nan, 90.0, 95.0, np.nan, 100.0, 98.0, np.nan, 96.0, 92.0], 0.1)
    mended = plausible(read)
    assert np.isnan(mended.hz[0])
    np.testing.assert_array_equal(mended.hz[2:], read.hz[2:])


def test_a_contour_with_nothing_voiced_stays_so() -> None:
    assert not plausible(contour([np.nan] * 5)).voiced.any()
    assert plausible(contour([])).times.size == 0


def test_spread_is_in_semitones_and_null_for_too_few_frames() -> None:
    assert spread_semitones(contour([100.0, 200.0] * 10)) == pytest.approx(6.0)
    assert spread_semitones(contour([100.0] * 9)) is None


def test_a_thinned_contour_keeps_its_gaps_and_stays_short() -> None:
    times = np.arange(1000) * 0.01
    values = np.sin(times)
    values[300:400] = np.nan
    points = thin(np.column_stack([times, values]), step_s=0.02, max_points=200)
    assert len(points) <= 202
    assert [t for t, v in points if v is None] == [pytest.approx(2.99)]
    kept = {round(t, 2): v for t, v in points if v is not None}
    assert all(v == pytest.approx(np.sin(t)) for t, v in kept.items())
    assert not any(3.0 <= t < 4.0 for t in kept)


def test_a_contour_with_nothing_voiced_thins_to_nothing() -> None:
    assert thin(np.full((5, 2), np.nan), step_s=0.02, max_points=10) == []
    assert thin(np.empty((0, 2)), step_s=0.02, max_points=10) == []
