"""What the utterance's scores are made of: a row of named numbers for a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.fluency import PAUSE_S, measure_fluency
from analysis.phones import PHONES, VOWELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.aligned import Alignment
    from analysis.contour import PitchContour
    from analysis.evidence import TextEvidence
    from analysis.nativeness import Nativeness
    from analysis.segments import Segments

NAMES: Final = (
    # How the phones were said (0–2).
    "phone_mean", "phone_low_tenth", "phone_low_quarter", "phone_wrong", "phone_doubtful",
    "word_minimum_mean", "word_mean", "word_wrong", "evidence_own", "evidence_lead",
    # How fast and how evenly.
    "speech_rate", "articulation_rate", "phonation_ratio", "pauses_per_word", "pause_share",
    "longest_pause", "gaps_per_word", "npvi_vowels", "percent_vowels", "delta_consonants",
    "duration_median", "duration_spread", "duration_oddness", "duration_long", "duration_fit",
    "log_phones", "log_words",
    # How the voice moves (semitones around the speaker's own median).
    "pitch_spread", "pitch_range", "pitch_movement", "pitch_fall", "voiced_share",
    "vowel_level_spread",
    # How well the line's path fits; how native its phones are, and their less native quarter.
    "path_fit", "native_mean", "native_low_quarter",
)  # fmt: skip
# The experts' names of what a line is scored on, in the network's order.
LINE_SCORES: Final = ("accuracy", "fluency", "prosodic", "total")
# With the network its own scores of the line come last.
NETWORK_NAMES: Final = (*NAMES, *LINE_SCORES)
_WRONG: Final = 1.0
_DOUBTFUL: Final = 1.7
_WORD_WRONG: Final = 1.4
_LONG_S: Final = 0.3
_SHORT_GAP_S: Final = 0.05


@dataclass(frozen=True, eq=False)
class DurationNorms:
    """Mean and deviation of each phone's log duration, by well-spoken lines; both (39,)."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def oddness(
        self, phones: NDArray[np.int64], log_durations: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (P,) how far each phone's log duration lies from its usual one, in deviations."""
        odd: NDArray[np.float64] = (log_durations - self.mean[phones]) / self.deviation[phones]
        return odd


def line_features(
    alignment: Alignment,
    rows: Segments,
    phone_scores: NDArray[np.float64],
    word_scores: NDArray[np.float64],
    line_scores: NDArray[np.floating] | None = None,
    *,
    evidence: TextEvidence,
    native: Nativeness,
    mel: NDArray[np.float32],
    pitch: PitchContour,
    norms: DurationNorms,
) -> NDArray[np.float64]:
    """Return the row of `NAMES` for a line; of `NETWORK_NAMES` with the network's own scores.

    Parameters
    ----------
    alignment, rows : where the phones lie, twice told.
    phone_scores : (P,), 0–2.
    word_scores : (placed words,), 0–2.
    line_scores : (4,) the network's, 0–2; None without it.
    evidence : how well the recording bears the text.
    native : how native the phones are.
    mel : (frames, 80) normalised log-mel energies.
    pitch : the speaker's own contour.
    norms : usual durations.
    """
    values = [
        *_said(rows, phone_scores, word_scores, evidence),
        *_timed(alignment, rows, norms),
        *_voiced(alignment, pitch),
        _vowel_level_spread(rows, mel),
        evidence.path.fit,
        native.line,
        native.low,
        *(() if line_scores is None else line_scores),
    ]
    return np.array(values, dtype=np.float64)


def _said(
    rows: Segments,
    scores: NDArray[np.float64],
    words: NDArray[np.float64],
    evidence: TextEvidence,
) -> list[float]:
    return [
        float(scores.mean()),
        float(np.quantile(scores, 0.1)),
        float(np.quantile(scores, 0.25)),
        float((scores < _WRONG).mean()),
        float((scores < _DOUBTFUL).mean()),
        float(rows.word_worst(scores).mean()),
        float(words.mean()),
        float((words < _WORD_WRONG).mean()),
        float(evidence.own.mean()),
        float(evidence.lead.mean()),
    ]


def _timed(alignment: Alignment, rows: Segments, norms: DurationNorms) -> list[float]:
    found = measure_fluency(alignment)
    placed = alignment.placed
    span = max(float(rows.spans[-1, 1] - rows.spans[0, 0]), PAUSE_S)
    count = len(placed)
    gaps = [after.start - before.end for before, after in pairwise(placed)]
    durations = np.maximum(rows.spans[:, 1] - rows.spans[:, 0], 0.01).astype(np.float64)
    logs = np.log(durations)
    odd = norms.oddness(rows.phones, logs)
    centred = odd - odd.mean()
    return [
        found.speech_rate or 0.0,
        found.articulation_rate or 0.0,
        found.phonation_ratio or 0.0,
        len(found.pauses) / count,
        found.pause_total / span,
        min(found.longest_pause, 2.0),
        sum(gap > _SHORT_GAP_S for gap in gaps) / count,
        min(found.npvi_vowels if found.npvi_vowels is not None else 50.0, 120.0),
        found.percent_vowels if found.percent_vowels is not None else 45.0,
        min(found.delta_consonants if found.delta_consonants is not None else 0.05, 0.3),
        float(np.median(logs)),
        float(logs.std()),
        float(np.abs(centred).mean()),
        float((durations > _LONG_S).mean()),
        float(odd.mean()),
        math.log(len(rows.phones)),
        math.log(count),
    ]


def _voiced(alignment: Alignment, pitch: PitchContour) -> list[float]:
    placed = alignment.placed
    inside = (pitch.times >= placed[0].start) & (pitch.times <= placed[-1].end)
    hz = pitch.hz[inside]
    voiced = np.isfinite(hz)
    if voiced.sum() < 5:
        return [0.0, 0.0, 0.0, 0.0, float(voiced.mean()) if len(voiced) else 0.0]
    semitones = 12.0 * np.log2(hz[voiced] / np.median(hz[voiced]))
    times = pitch.times[inside][voiced]
    steps = np.diff(times)
    close = steps < 2.5 * pitch.step_s
    movement = np.abs(np.diff(semitones))[close].sum() / max(float(steps[close].sum()), 0.05)
    tail = times > times[-1] - 0.4
    low, high = np.quantile(semitones, (0.05, 0.95))
    return [
        min(float(semitones.std()), 8.0),
        min(float(high - low), 24.0),
        min(float(movement), 80.0),
        float(np.clip(semitones[tail].mean() - semitones[~tail].mean(), -12.0, 12.0))
        if (~tail).any()
        else 0.0,
        float(voiced.mean()),
    ]


def _vowel_level_spread(rows: Segments, mel: NDArray[np.float32]) -> float:
    """Return the deviation of the vowels' levels: stress makes them differ."""
    level = mel.mean(axis=1)
    vowels = np.array([PHONES[phone] in VOWELS for phone in rows.phones])
    levels = [
        float(level[int(start * 100) : max(int(end * 100), int(start * 100) + 1)].mean())
        for start, end in rows.spans[vowels]
        if int(start * 100) < len(level)
    ]
    return float(np.std(levels)) if len(levels) > 1 else 0.0
