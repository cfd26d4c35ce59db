"""The loudness shape of a line against the actor's: where the voice is raised and lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.likeness import concordance, percent
from analysis.warp import Span, carry, follow, lagged

if TYPE_CHECKING:
    from analysis.audio import Recording

Floats = NDArray[np.float64]

# Long enough to hold two periods of the lowest voice, so that the curve does not follow them.
WINDOW_S: Final = 0.04
STEP_S: Final = 0.01
# Speech this far below its own loudest frame is breath, room or a stop closure.
RANGE_DB: Final = 45.0
MIN_SHARED_FRAMES: Final = 10
# About what it takes to hear that one syllable of running speech is louder than another.
PERCEPTIBLE_DB: Final = 2.0
LARGEST_ERROR_DB: Final = 20.0
# Keeps the logarithm of digital silence finite.
POWER_FLOOR: Final = 1e-12


@dataclass(frozen=True)
class LoudnessComparison:
    """Two loudness curves against each other; None below ten frames with speech in both.

    Attributes
    ----------
    score : 0–100; see `compare_loudness`.
    correlation : Pearson's, of the curves in decibels.
    range_ratio : standard deviation of the user over that of the reference.
    """

    score: float | None
    correlation: float | None
    range_ratio: float | None


def compare_loudness(
    user: Recording,
    reference: Recording,
    user_words: Sequence[Span | None],
    reference_words: Sequence[Span | None],
) -> LoudnessComparison:
    """Compare level curves in decibels about their own means, word laid over word.

    The score is 100 × the mean concordance (see `likeness.concordance`) over the reference's
    frames inside matched words in which both speak. A louder or quieter recording as a whole is
    no difference; nor is noise below the speech, since frames 45 dB under the loudest are left
    out.
    """
    our_times, ours = _level(user)
    their_times, theirs = _level(reference)
    word_of, warped = carry(their_times, user_words, reference_words)
    inside = word_of >= 0
    r = theirs[inside]
    # The curves are followed about their own levels, so that a quieter recording can follow.
    read = np.interp(lagged(warped[inside]), our_times, ours - np.median(ours))
    u = follow(
        read,
        r - np.median(theirs),
        warped[inside],
        unnoticed=PERCEPTIBLE_DB,
        largest_error=LARGEST_ERROR_DB,
    )
    spoken = (u > ours.max() - np.median(ours) - RANGE_DB) & (r > theirs.max() - RANGE_DB)
    if np.count_nonzero(spoken) < MIN_SHARED_FRAMES:
        return LoudnessComparison(None, None, None)
    likeness = concordance(
        u[spoken], r[spoken], unnoticed=PERCEPTIBLE_DB, largest_error=LARGEST_ERROR_DB
    )
    return LoudnessComparison(
        score=percent(float(likeness.by_frame.mean())),
        correlation=likeness.correlation,
        range_ratio=likeness.ratio,
    )


def _level(recording: Recording) -> tuple[Floats, Floats]:
    """Return frame centres in seconds and levels in dB of full scale, shape (n,) each."""
    window = int(WINDOW_S * recording.sample_rate)
    hop = int(STEP_S * recording.sample_rate)
    padded = np.pad(recording.samples.astype(np.float64), window // 2)
    power = np.lib.stride_tricks.sliding_window_view(padded**2, window)[::hop] @ (
        np.hanning(window) / np.hanning(window).sum()
    )
    times = np.arange(power.size) * hop / recording.sample_rate
    return times, 10.0 * np.log10(power + POWER_FLOOR)
