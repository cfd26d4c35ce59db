"""The warp between two renderings of a line: piecewise linear, word by word, and a small lag.

- `carry`: times of the reference to the recording, through the words that both have.
- `lagged`, `follow`: the residual lag that word boundaries leave, followed along the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]
Floats = NDArray[np.float64]

# Word boundaries are sure to a few hundredths of a second: a curve may run this much ahead of or
# behind the warp, so that a boundary laid 30 ms off is not taken for another curve.
MAX_LAG_S: Final = 0.06
LAG_STEP_S: Final = 0.01
LAGS_S: Final = np.round(np.arange(-MAX_LAG_S, MAX_LAG_S + LAG_STEP_S / 2, LAG_STEP_S), 3)
# What a lag costs against a frame's squared error in units that are just noticed: each change by
# one step between frames that are one step apart (in proportion less between frames that are
# further apart, or a contour with few values would be held ten times as stiff as a dense one), and
# each step away from none.
LAG_CHANGE_COST: Final = 2.0
LAG_COST: Final = 0.25


def carry(
    times: Floats, user_words: Sequence[Span | None], reference_words: Sequence[Span | None]
) -> tuple[NDArray[np.intp], Floats]:
    """Carry times of the reference to the recording, linearly within each matched word.

    Parameters
    ----------
    times : shape (n,), seconds on the reference's clock.
    user_words, reference_words : (start, end) in seconds for each word, None where it has none.

    Returns
    -------
    word_of : shape (n,), the index of the word that each time lies in, −1 for none.
    carried : shape (n,), seconds on the recording's clock, NaN outside matched words.
    """
    word_of = np.full(times.shape, -1, dtype=np.intp)
    warped = np.full(times.shape, np.nan)
    for index, (ours, theirs) in enumerate(zip(user_words, reference_words, strict=True)):
        if ours is None or theirs is None or theirs[1] <= theirs[0]:
            continue
        here = (times >= theirs[0]) & (times < theirs[1])
        word_of[here] = index
        share = (times[here] - theirs[0]) / (theirs[1] - theirs[0])
        warped[here] = ours[0] + share * (ours[1] - ours[0])
    return word_of, warped


def lagged(times: Floats) -> Floats:
    """Return each time at each of the lags, shape (n, lags), in seconds."""
    return times[:, None] + LAGS_S[None, :]


def follow(
    values: Floats, target: Floats, times: Floats, *, unnoticed: float, largest_error: float
) -> Floats:
    """Choose for each frame the lag at which a curve follows the target best, by Viterbi.

    Parameters
    ----------
    values : shape (n, lags), the curve at the times of `lagged`; NaN where it has no value.
    target : shape (n,), the curve to be followed.
    times : shape (n,), when, in seconds, ascending.
    unnoticed : the unit in which errors are counted, in the curves' unit.
    largest_error : an error counts up to this, and a missing value twice as much.

    Returns
    -------
    Shape (n,): the values on the cheapest path.
    """
    if not len(values):
        return np.empty(0)
    worst = (largest_error / unnoticed) ** 2
    error = np.minimum(((values - target[:, None]) / unnoticed) ** 2, worst)
    steps = np.arange(LAGS_S.size)
    frame_cost = np.where(np.isnan(error), 2.0 * worst, error) + LAG_COST * np.abs(
        steps - LAGS_S.size // 2
    )
    change = LAG_CHANGE_COST * np.abs(steps[:, None] - steps[None, :])
    ease = LAG_STEP_S / np.maximum(np.diff(times), LAG_STEP_S)
    came_from = np.zeros(frame_cost.shape, dtype=np.intp)
    cost = frame_cost[0]
    ways = np.empty(change.shape)
    for i in range(1, len(frame_cost)):
        np.multiply(change, ease[i - 1], out=ways)
        ways += cost
        ways.argmin(axis=1, out=came_from[i])
        cost = ways.min(axis=1) + frame_cost[i]
    path = np.empty(len(frame_cost), dtype=np.intp)
    state = int(np.argmin(cost))
    for i in range(len(path) - 1, -1, -1):
        path[i] = state
        state = int(came_from[i, state])
    followed: Floats = values[np.arange(len(path)), path]
    return followed
