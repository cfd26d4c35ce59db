"""The fundamental frequency (F0) of a recording.

- `track_pitch`: F0 by Praat, in a range fitted to the voice.
- `repair_octaves`: jumps of an octave that a tracker made, taken back.
- `plausible`: a contour from elsewhere, held to the same rules.
- `spread_semitones`: how far a voice moves about.
- `thin`: a contour cut down to what a plot needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.contour import PitchContour
from analysis.one_core import on_one_core

if TYPE_CHECKING:
    from analysis.audio import Recording

Floats = NDArray[np.float64]

STEP_S: Final = 0.01
FIRST_PASS_STEP_S: Final = 0.02
FIRST_PASS_FLOOR_HZ: Final = 60.0
FIRST_PASS_CEILING_HZ: Final = 700.0
# Factors on the first and third quartile of the first pass. 2.5 is what Hirst gives for
# expressive speech, which an actor's is; 1.5 cuts off exclamations.
FLOOR_FACTOR: Final = 0.75
CEILING_FACTOR: Final = 2.5
LOWEST_FLOOR_HZ: Final = 50.0
HIGHEST_CEILING_HZ: Final = 800.0
# Praat's autocorrelation window holds three of the longest periods.
PERIODS_IN_WINDOW: Final = 3.0

SEMITONES_IN_OCTAVE: Final = 12.0
# A movement of up to so much between neighbouring voiced frames is any voice's own.
FREE_MOVEMENT_SEMITONES: Final = 4.0
# How soon two voiced frames stop vouching for each other.
MEMORY_S: Final = 0.1
# What it costs, in semitones, to say that the tracker was an octave off: to begin or end such a
# stretch, and for each second of it.
OCTAVE_CHANGE_COST: Final = 2.0
OCTAVE_COST_PER_S: Final = 20.0
MIN_VOICED_FRAMES: Final = 10
# Voiced points further apart than so many steps of their contour are not joined in a plot.
GAP_STEPS: Final = 1.8


@on_one_core()
def track_pitch(recording: Recording) -> PitchContour:
    """Track the fundamental frequency with Praat's autocorrelation method, in two passes.

    The first pass looks between 60 and 700 Hz; the second between 0.75 × the first quartile and
    2.5 × the third quartile of what it found, which keeps octave errors and microprosody out.

    Parameters
    ----------
    recording : mono samples, shape (n,).

    Returns
    -------
    PitchContour
        A value each 10 ms, NaN where unvoiced; empty for a recording shorter than Praat's window.

    References
    ----------
    Boersma (1993), Proceedings of the Institute of Phonetic Sciences 17 (the tracker).
    De Looze & Hirst (2008), Speech Prosody, and Hirst (2011), Journal of Speech Sciences 1 (the
    two passes and their factors).
    """
    import parselmouth

    nothing = PitchContour(times=np.empty(0), hz=np.empty(0), step_s=STEP_S)
    if recording.duration <= PERIODS_IN_WINDOW / FIRST_PASS_FLOOR_HZ + FIRST_PASS_STEP_S:
        return nothing
    sound = parselmouth.Sound(
        recording.samples.astype(np.float64), sampling_frequency=recording.sample_rate
    )
    first = sound.to_pitch_ac(
        time_step=FIRST_PASS_STEP_S,
        pitch_floor=FIRST_PASS_FLOOR_HZ,
        pitch_ceiling=FIRST_PASS_CEILING_HZ,
    ).selected_array["frequency"]
    voiced = first[first > 0]
    if not voiced.size:
        return nothing
    floor, ceiling = voice_range(voiced)
    pitch = sound.to_pitch_ac(
        time_step=STEP_S,
        # A floor so low that its window is longer than the sound is refused by Praat.
        pitch_floor=max(floor, PERIODS_IN_WINDOW / (recording.duration - STEP_S)),
        pitch_ceiling=ceiling,
    )
    hz = pitch.selected_array["frequency"].copy()
    hz[hz <= 0] = np.nan
    contour = PitchContour(times=np.asarray(pitch.xs(), dtype=np.float64), hz=hz, step_s=STEP_S)
    return repair_octaves(contour)


def repair_octaves(contour: PitchContour) -> PitchContour:
    """Take back jumps of an octave, as trackers make them in creaky and breathy stretches.

    Each voiced frame may be left, doubled or halved, and the cheapest path is taken by dynamic
    programming. A movement between two voiced frames costs its semitones above four, less the
    further apart they are; a moved stretch costs something at both ends and for as long as it
    lasts. So a stretch that leaves and comes back is mended, and a leap that lasts, or that
    follows silence, is the voice's own.
    """
    voiced = np.flatnonzero(contour.voiced)
    if voiced.size < 3:
        return contour
    movement = np.diff(SEMITONES_IN_OCTAVE * np.log2(contour.hz[voiced]))
    if np.max(np.abs(movement)) <= FREE_MOVEMENT_SEMITONES:
        return contour
    trust = np.exp(-np.diff(contour.times[voiced]) / MEMORY_S)
    shifts = np.array([0.0, SEMITONES_IN_OCTAVE, -SEMITONES_IN_OCTAVE])
    between = shifts[:, None] - shifts[None, :]  # to (row) from (column)
    jump = np.abs(movement[:, None, None] + between) - FREE_MOVEMENT_SEMITONES
    jumps = (trust[:, None, None] * np.maximum(jump, 0.0)).tolist()
    # Plain numbers from here on: on three states, numpy's calls cost five times as much.
    stay = OCTAVE_COST_PER_S * contour.step_s
    left, up, down = 0.0, stay, stay
    came_from = []
    for to_left, to_up, to_down in jumps:
        leaving, over, under = (cost + OCTAVE_CHANGE_COST for cost in (left, up, down))
        best = (
            _least(left + to_left[0], over + to_left[1], under + to_left[2]),
            _least(leaving + to_up[0], up + to_up[1], under + to_up[2]),
            _least(leaving + to_down[0], over + to_down[1], down + to_down[2]),
        )
        came_from.append(best)
        left, up, down = best[0][0], best[1][0] + stay, best[2][0] + stay
    state = _least(left, up, down)[1]
    path = [state]
    for best in reversed(came_from):
        state = best[state][1]
        path.append(state)
    repaired = contour.hz.copy()
    repaired[voiced] *= 2.0 ** (shifts[path[::-1]] / SEMITONES_IN_OCTAVE)
    return PitchContour(times=contour.times, hz=repaired, step_s=contour.step_s)


def _least(first: float, second: float, third: float) -> tuple[float, int]:
    """Return the least of three costs and which it was, the first of equals."""
    if first <= second and first <= third:
        return first, 0
    return (second, 1) if second <= third else (third, 2)


def plausible(contour: PitchContour) -> PitchContour:
    """Mend a contour of unknown origin: octaves repaired, what no voice of its range does unvoiced.

    The range is what `track_pitch` would have looked in, from the contour's own quartiles.
    """
    repaired = repair_octaves(contour)
    if not repaired.voiced.any():
        return repaired
    floor, ceiling = voice_range(repaired.hz[repaired.voiced])
    # NaN compares as false on both sides and stays NaN.
    outside = (repaired.hz < floor) | (repaired.hz > ceiling)
    hz = np.where(outside, np.nan, repaired.hz)
    return PitchContour(times=repaired.times, hz=hz, step_s=repaired.step_s)


def voice_range(voiced_hz: Floats) -> tuple[float, float]:
    """Return the floor and ceiling in Hz for a voice, from a first look at its F0.

    0.75 × the first and 2.5 × the third quartile, within 50–800 Hz; see `track_pitch`.
    """
    lower, upper = np.quantile(voiced_hz, (0.25, 0.75))
    return (
        max(FLOOR_FACTOR * float(lower), LOWEST_FLOOR_HZ),
        min(CEILING_FACTOR * float(upper), HIGHEST_CEILING_HZ),
    )


def spread_semitones(contour: PitchContour) -> float | None:
    """Return the standard deviation of the voiced frames in semitones; None below ten of them."""
    voiced = contour.hz[contour.voiced]
    if voiced.size < MIN_VOICED_FRAMES:
        return None
    return float(np.std(SEMITONES_IN_OCTAVE * np.log2(voiced)))


def thin(contour: Floats, *, step_s: float, max_points: int) -> list[tuple[float, float | None]]:
    """Cut a contour of (n, 2) seconds and values down for a plot, about `max_points` long.

    Points nearer than `step_s` to the one before are left out. A stretch of NaN, or of nothing
    for as long, becomes one point with None: the gap in the
    drawn line.
    """
    voiced = contour[np.isfinite(contour[:, 1])]
    if not len(voiced):
        return []
    own_step = float(np.median(np.diff(contour[:, 0]))) if len(contour) > 1 else step_s
    step = max(step_s, float(voiced[-1, 0] - voiced[0, 0]) / max_points)
    points: list[tuple[float, float | None]] = []
    before = last = -np.inf
    for time, value in voiced.tolist():
        after_gap = bool(points) and time - before > GAP_STEPS * own_step
        if after_gap:
            points.append((before, None))
        # Half a millisecond of slack: frame times are sums of steps and carry their rounding.
        if after_gap or time - last >= step - 0.0005:
            points.append((time, value))
            last = time
        before = time
    return points
