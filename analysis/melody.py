"""The melody of a line against the actor's: two contours in semitones, word laid over word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.likeness import concordance, percent
from analysis.pitch import SEMITONES_IN_OCTAVE, plausible
from analysis.warp import LAGS_S, Span, carry, follow, lagged

if TYPE_CHECKING:
    from analysis.contour import PitchContour

Floats = NDArray[np.float64]

MIN_SHARED_FRAMES: Final = 10
# Half an octave: what is further off is a tracker's error or another melody altogether, and one
# frame of it says no more than that.
LARGEST_ERROR_SEMITONES: Final = 6.0
# Movements smaller than about a semitone are not told apart reliably in running speech
# ('t Hart 1981, JASA 69: 1.5 semitones and more), so this much variance counts as shared.
PERCEPTIBLE_SEMITONES: Final = 1.0


@dataclass(frozen=True)
class PitchComparison:
    """Two melodies against each other; None where they share too little voiced speech.

    Attributes
    ----------
    score : likeness of the line, 0–100.
    word_scores : likeness of each reference word, 0–100.
    shape_score : 0–100, the correlation with its negative half cut off.
    range_score : 0–100, how near the two standard deviations are.
    correlation : Pearson correlation of the contours in semitones.
    rmse_semitones : root mean square distance of the contours about their means.
    range_ratio : standard deviation of the user over that of the reference, in semitones.
    final_movement : semitones by which (user, reference) move over the line's last word; None
        where that word shares too few frames.
    shared_frames : frames of the reference voiced in both.
    user_median_hz, reference_median_hz : each speaker's own median.
    user_contour, reference_contour : (n, 2) arrays of seconds on the recording and semitones from
        the own median, NaN where unvoiced.
    """

    score: float | None
    word_scores: tuple[float | None, ...]
    shape_score: float | None
    range_score: float | None
    correlation: float | None
    rmse_semitones: float | None
    range_ratio: float | None
    final_movement: tuple[float, float] | None
    shared_frames: int
    user_median_hz: float | None
    reference_median_hz: float | None
    user_contour: Floats
    reference_contour: Floats


def compare_pitch(
    user: PitchContour,
    reference: PitchContour,
    user_words: Sequence[Span | None],
    reference_words: Sequence[Span | None],
    *,
    omitted: frozenset[int] = frozenset(),
) -> PitchComparison:
    """Compare two melodies in semitones, each from its own median, word laid over word.

    The reference's voiced frames inside matched words are carried to the recording's clock,
    linearly within each word; the comparison is made at those frames and at no others, so a
    reference with a value each 0.1 s is compared at its values and not at guesses between them.
    A residual lag of at most 60 ms is followed (see `warp.follow`).

    With u and r the two melodies about their means over the n shared frames,
    ``score = 100 · max(0, 1 − Σ(u − r)² / n(σ_u² + σ_r² + ε²))``: Lin's concordance coefficient
    with ε = 1 semitone of variance that nobody hears. It falls with another shape, with a
    flatter and with a wider melody alike, and not with another register. A word's score is the
    same over its own frames, so the line's score is the mean over its frames of all its words;
    voiced frames of omitted words count as zero.

    Parameters
    ----------
    user, reference : contours; user on the recording's clock, reference on the clip's.
    user_words, reference_words : (start, end) in seconds for each word of the reference, None
        where it has none.
    omitted : indices of words that were left out.

    Returns
    -------
    PitchComparison
        With None for every score below ten frames voiced in both; per word likewise.

    References
    ----------
    Lin (1989), Biometrics 45, 255–268 (concordance). Hermes (1998), JSLHR 41, 73–82 (correlation
    and distance of pitch contours against listeners). 't Hart (1981), JASA 69, 811–821 (ε).
    """
    reference = plausible(reference)
    user_semitones, user_median = _from_median(user.hz)
    reference_semitones, reference_median = _from_median(reference.hz)
    word_of, warped = carry(reference.times, user_words, reference_words)
    inside = word_of >= 0
    drawn = np.column_stack([warped[inside], reference_semitones[inside]])
    # What counts as shared is settled before the lag is: else a lag could stretch one voiced
    # frame over many.
    voiced_in_both = np.isfinite(reference_semitones) & np.isfinite(user.at(warped))
    frames = np.flatnonzero(inside & voiced_in_both)
    theirs = reference_semitones[frames]
    ours = _follow(user, user_median, warped[frames], theirs)
    shared = np.isfinite(ours)
    missing = sum(
        _voiced_inside(reference, span)
        for index, span in enumerate(reference_words)
        if index in omitted and span is not None
    )
    count = int(shared.sum())
    nothing = (None,) * len(reference_words)
    comparison = PitchComparison(
        score=None,
        word_scores=nothing,
        shape_score=None,
        range_score=None,
        correlation=None,
        rmse_semitones=None,
        range_ratio=None,
        final_movement=None,
        shared_frames=count,
        user_median_hz=user_median,
        reference_median_hz=reference_median,
        user_contour=np.column_stack([user.times, user_semitones]),
        reference_contour=drawn,
    )
    if count < MIN_SHARED_FRAMES:
        return comparison
    u, r = ours[shared], theirs[shared]
    words = word_of[frames][shared]
    likeness = concordance(
        u, r, unnoticed=PERCEPTIBLE_SEMITONES, largest_error=LARGEST_ERROR_SEMITONES
    )
    return PitchComparison(
        score=percent(float(likeness.by_frame.sum()) / (count + missing)),
        word_scores=tuple(
            percent(float(likeness.by_frame[words == index].mean()))
            if np.count_nonzero(words == index) >= MIN_SHARED_FRAMES
            else None
            for index in range(len(reference_words))
        ),
        shape_score=percent(likeness.correlation),
        range_score=percent(2.0 * likeness.ratio / (1.0 + likeness.ratio**2)),
        correlation=likeness.correlation,
        rmse_semitones=likeness.rmse,
        range_ratio=likeness.ratio,
        final_movement=_final_movement(u, r, words == len(reference_words) - 1),
        shared_frames=count,
        user_median_hz=user_median,
        reference_median_hz=reference_median,
        user_contour=comparison.user_contour,
        reference_contour=drawn,
    )


def _from_median(hz: Floats) -> tuple[Floats, float | None]:
    """Return semitones from the median of the voiced frames, and that median in Hz."""
    voiced = hz[np.isfinite(hz)]
    if not voiced.size:
        return np.full(hz.shape, np.nan), None
    median = float(np.median(voiced))
    return SEMITONES_IN_OCTAVE * np.log2(hz / median), median


def _follow(user: PitchContour, median_hz: float | None, times: Floats, target: Floats) -> Floats:
    """Read the user's semitones at the target's frames; NaN where unvoiced."""
    if median_hz is None:
        return np.full(times.shape, np.nan)
    hz = user.at(lagged(times).ravel()).reshape(times.size, LAGS_S.size)
    return follow(
        SEMITONES_IN_OCTAVE * np.log2(hz / median_hz),
        target,
        times,
        unnoticed=PERCEPTIBLE_SEMITONES,
        largest_error=LARGEST_ERROR_SEMITONES,
    )


def _voiced_inside(contour: PitchContour, span: Span) -> int:
    inside = (contour.times >= span[0]) & (contour.times < span[1])
    return int(np.count_nonzero(inside & np.isfinite(contour.hz)))


def _final_movement(u: Floats, r: Floats, last: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return by how many semitones each moves over the last word, by a straight line."""
    count = int(np.count_nonzero(last))
    if count < MIN_SHARED_FRAMES:
        return None
    place = np.linspace(-0.5, 0.5, count)
    weight = place / float(place @ place)
    return float(weight @ u[last]), float(weight @ r[last])
