"""The timing of a line against the actor's: onsets, tempo, durations, pauses and rhythm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.fluency import PAUSE_S, npvi
from analysis.phones import VOWELS

if TYPE_CHECKING:
    from analysis.aligned import Alignment
    from analysis.reference import Reference

Floats = NDArray[np.float64]

# Of each measure: the deviation that is free, as large as the aligner's own error or as what a
# listener notices, and the scale on which the rest costs (see `_closeness`).
ONSET_TOLERANCE_S: Final = 0.05
ONSET_SCALE_S: Final = 0.20
# Listeners notice a change of tempo of about 5 % (Quené 2007, J. Phonetics 35).
TEMPO_TOLERANCE: Final = 0.05
TEMPO_SCALE: Final = 0.20
DURATION_TOLERANCE: Final = 0.15
DURATION_SCALE: Final = 0.40
# Added to both durations before their ratio: an error of 30 ms in a short word is the aligner's.
DURATION_FLOOR_S: Final = 0.10
PAUSE_TOLERANCE_S: Final = 0.10
PAUSE_SCALE_S: Final = 0.30
NPVI_TOLERANCE: Final = 15.0
NPVI_SCALE: Final = 30.0
# Fewer vowels than this have no rhythm to measure.
MIN_VOWELS: Final = 6

PART_WEIGHTS: Final = {
    "onsets": 0.35,
    "tempo": 0.25,
    "durations": 0.20,
    "pauses": 0.10,
    "rhythm": 0.10,
}
WORD_WEIGHTS: Final = {"onset": 0.50, "duration": 0.30, "pause": 0.20}


@dataclass(frozen=True)
class WordTiming:
    """One matched word's timing.

    Attributes
    ----------
    index : its place in the reference.
    score : 0–100.
    onset_error : seconds after the constant offset; positive is late.
    duration_ratio : user over reference, at the speaker's own tempo.
    pause_error : seconds of pause before it more (positive) or less than the actor's; None where
        neither pauses or there is no matched word before it.
    """

    index: int
    score: float
    onset_error: float
    duration_ratio: float
    pause_error: float | None


@dataclass(frozen=True)
class TimingComparison:
    """A line's timing against the actor's; None where there is nothing to compare.

    Attributes
    ----------
    score, onsets, tempo, durations, pauses, rhythm : 0–100.
    words : one for each word of the reference, None where it was not matched.
    offset : the constant delay taken away, s.
    tempo_ratio : user over reference, first onset to last offset, omitted words left out of both;
        above 1 is slower.
    onset_error : mean absolute onset error after the offset, s.
    npvi_user, npvi_reference : of the vowels of matched words.
    """

    score: float | None
    words: tuple[WordTiming | None, ...]
    onsets: float | None = None
    tempo: float | None = None
    durations: float | None = None
    pauses: float | None = None
    rhythm: float | None = None
    offset: float | None = None
    tempo_ratio: float | None = None
    onset_error: float | None = None
    npvi_user: float | None = None
    npvi_reference: float | None = None

    @property
    def matched_words(self) -> int:
        """How many words both have."""
        return sum(word is not None for word in self.words)


def compare_timing(
    reference: Reference, alignment: Alignment, *, omitted: frozenset[int] = frozenset()
) -> TimingComparison:
    """Compare when each word was said with when the actor says it.

    Every measure becomes 0–100 by ``100 · exp(−½ · (max(0, |error| − tolerance) / scale)²)``:

    - *onsets*: each word's onset error after the constant offset that makes their absolute sum
      least, their median (a recording starts when the button is pressed, and an encoder adds its
      priming); mean over the words, omitted words counting as zero.
    - *tempo*: the logarithm of the two lengths' ratio, first onset to last offset.
    - *durations*: each word's log duration ratio about the line's own tempo, weighted by the
      word's length, omitted words counting as zero.
    - *pauses*: gap by gap, where either pauses, the difference in seconds.
    - *rhythm*: the difference of the normalised pairwise variability indices of the vowels.

    The line's score is their weighted mean (`PART_WEIGHTS`) over those that can be measured: a
    line of one word has no onsets or durations to compare, one with few vowels no rhythm.

    Parameters
    ----------
    reference : a timed reference; words without times are passed over.
    alignment : where the recording has them.
    omitted : indices of words that were left out.

    References
    ----------
    Grabe & Low (2002), Laboratory Phonology 7 (nPVI). Quené (2007), J. Phonetics 35 (tempo). Klatt
    (1976), JASA 59 (differences in duration of a fifth are noticed). Goldman-Eisler (1968) (the
    length from which a gap is a pause).
    """
    matched = _match(reference, alignment, omitted)
    nothing: tuple[WordTiming | None, ...] = (None,) * len(reference.words)
    if not matched.indices:
        return TimingComparison(score=None, words=nothing)
    measures = _measure(matched)
    tempo = float(_closeness(np.log(measures.tempo_ratio), TEMPO_TOLERANCE, TEMPO_SCALE))
    onset_scores = _closeness(measures.onset_errors, ONSET_TOLERANCE_S, ONSET_SCALE_S)
    duration_scores = _closeness(measures.duration_residuals, DURATION_TOLERANCE, DURATION_SCALE)
    pause_scores = _closeness(measures.pause_errors, PAUSE_TOLERANCE_S, PAUSE_SCALE_S)
    # One word has its onset at the offset and its duration at the tempo: nothing to compare. A line
    # of which one was said lacks the others all the same.
    has_neighbours = len(matched.indices) > 1
    has_line = len(matched.indices) + len(omitted) > 1

    words = list(nothing)
    for place, index in enumerate(matched.indices):
        paused = bool(np.isfinite(measures.pause_errors[place]))
        of_word = {
            "onset": float(onset_scores[place]) if has_neighbours else None,
            "duration": float(duration_scores[place]) if has_neighbours else tempo,
            "pause": float(pause_scores[place]) if paused else None,
        }
        words[index] = WordTiming(
            index=index,
            score=_weighted(of_word, WORD_WEIGHTS) or 0.0,
            onset_error=float(measures.onset_errors[place]),
            duration_ratio=float(np.exp(measures.duration_residuals[place])),
            pause_error=float(measures.pause_errors[place]) if paused else None,
        )

    onsets = durations = pauses = rhythm = None
    if has_line:
        lengths = matched.theirs[:, 1] - matched.theirs[:, 0]
        left_out = sum(_reference_length(reference, index) for index in omitted)
        onsets = float(onset_scores.sum()) / (len(matched.indices) + len(omitted))
        durations = float(duration_scores @ lengths) / (float(lengths.sum()) + left_out)
    if np.isfinite(measures.pause_errors).any():
        pauses = float(np.nanmean(pause_scores))
    npvi_user, npvi_reference = _vowel_npvis(reference, alignment, matched.indices)
    if npvi_user is not None and npvi_reference is not None:
        rhythm = float(_closeness(npvi_user - npvi_reference, NPVI_TOLERANCE, NPVI_SCALE))
    parts = {
        "onsets": onsets,
        "tempo": tempo,
        "durations": durations,
        "pauses": pauses,
        "rhythm": rhythm,
    }
    return TimingComparison(
        score=_weighted(parts, PART_WEIGHTS),
        words=tuple(words),
        **parts,
        offset=measures.offset,
        tempo_ratio=measures.tempo_ratio,
        onset_error=float(np.abs(measures.onset_errors).mean()),
        npvi_user=npvi_user,
        npvi_reference=npvi_reference,
    )


@dataclass(frozen=True, eq=False)
class _Matched:
    """The words that both have: their indices, and (n, 2) arrays of their spans in seconds."""

    indices: list[int]
    ours: Floats
    theirs: Floats


@dataclass(frozen=True, eq=False)
class _Measures:
    """Raw errors, one a matched word; see `WordTiming` for their meaning."""

    offset: float
    tempo_ratio: float
    onset_errors: Floats
    duration_residuals: Floats
    pause_errors: Floats


def _match(reference: Reference, alignment: Alignment, omitted: frozenset[int]) -> _Matched:
    spans = {
        index: ((placed.start, placed.end), (word.start, word.end))
        for index, (word, placed) in enumerate(zip(reference.words, alignment.words, strict=True))
        if placed is not None
        and word.start is not None
        and word.end is not None
        and index not in omitted
    }
    return _Matched(
        indices=list(spans),
        ours=np.array([ours for ours, _ in spans.values()], dtype=np.float64).reshape(-1, 2),
        theirs=np.array([theirs for _, theirs in spans.values()], dtype=np.float64).reshape(-1, 2),
    )


def _measure(matched: _Matched) -> _Measures:
    ours, theirs = matched.ours, matched.theirs
    delays = ours[:, 0] - theirs[:, 0]
    offset = float(np.median(delays))
    return _Measures(
        offset=offset,
        tempo_ratio=_tempo_ratio(matched),
        onset_errors=delays - offset,
        duration_residuals=_duration_residuals(ours, theirs),
        pause_errors=_pause_errors(ours, theirs, matched.indices),
    )


def _closeness(error: Floats | float, tolerance: float, scale: float) -> Floats:
    """Turn errors into 0–100: free up to the tolerance, then a Gaussian of the scale."""
    excess = np.maximum(np.abs(error) - tolerance, 0.0) / scale
    return np.asarray(100.0 * np.exp(-0.5 * excess**2))


def _tempo_ratio(matched: _Matched) -> float:
    """Length over length, first onset to last offset, without the gaps of words left out."""
    ours, theirs = matched.ours, matched.theirs
    # A word reaches to the next word's onset, or to its own end where the next was left out.
    follows = np.append(np.diff(matched.indices) == 1, False)
    our_ends = np.where(follows, np.append(ours[1:, 0], 0.0), ours[:, 1])
    their_ends = np.where(follows, np.append(theirs[1:, 0], 0.0), theirs[:, 1])
    our_length = max(float((our_ends - ours[:, 0]).sum()), DURATION_FLOOR_S)
    return our_length / max(float((their_ends - theirs[:, 0]).sum()), DURATION_FLOOR_S)


def _duration_residuals(ours: Floats, theirs: Floats) -> Floats:
    """Log duration ratios about their length-weighted mean: what tempo alone does not explain."""
    their_durations = theirs[:, 1] - theirs[:, 0]
    ratios = np.log(
        (ours[:, 1] - ours[:, 0] + DURATION_FLOOR_S) / (their_durations + DURATION_FLOOR_S)
    )
    return np.asarray(ratios - np.average(ratios, weights=their_durations + DURATION_FLOOR_S))


def _pause_errors(ours: Floats, theirs: Floats, matched: Sequence[int]) -> Floats:
    """Seconds of pause more or less before each word; NaN where neither pauses."""
    errors = np.full(len(matched), np.nan)
    for place in range(1, len(matched)):
        if matched[place] != matched[place - 1] + 1:
            continue  # the gap holds an omitted word
        our_gap = max(0.0, ours[place, 0] - ours[place - 1, 1])
        their_gap = max(0.0, theirs[place, 0] - theirs[place - 1, 1])
        if max(our_gap, their_gap) >= PAUSE_S:
            errors[place] = our_gap - their_gap
    return errors


def _reference_length(reference: Reference, index: int) -> float:
    word = reference.words[index]
    return 0.0 if word.start is None or word.end is None else word.end - word.start


def _vowel_npvis(
    reference: Reference, alignment: Alignment, matched: Sequence[int]
) -> tuple[float | None, float | None]:
    """Return the nPVI of both renderings' vowels, None for both where either has too few."""
    theirs: list[float] = []
    ours: list[float] = []
    for index in matched:
        word = alignment.words[index]
        ours += [p.end - p.start for p in (word.phones if word else ()) if p.phone in VOWELS]
        theirs += [p.end - p.start for p in reference.words[index].phones if p.phone in VOWELS]
    if min(len(ours), len(theirs)) < MIN_VOWELS:
        return None, None
    return npvi(ours), npvi(theirs)


def _weighted(parts: dict[str, float | None], weights: dict[str, float]) -> float | None:
    """Return the weighted mean over the parts that are there."""
    there = {name: value for name, value in parts.items() if value is not None}
    total = sum(weights[name] for name in there)
    return sum(weights[name] * value for name, value in there.items()) / total if there else None
