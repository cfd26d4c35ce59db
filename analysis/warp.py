"""The warp between two renderings of a line: piecewise linear, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]
Floats = NDArray[np.float64]


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
