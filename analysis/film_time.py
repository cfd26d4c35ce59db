"""Film time: where the clip begins in a TextGrid that counts from the start of its film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.errors import ReferenceFormatError
from analysis.phones import VOWELS
from analysis.pronunciations import pronounce

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.audio import Recording
    from analysis.contour import PitchContour
    from analysis.reference_words import ReferenceWord
    from analysis.textgrid_tiers import Tier

FILM_TIME_S: Final = 120.0
"""No clip begins with so long a silence: the times then count from the start of the film."""
VOICED: Final = VOWELS | frozenset(
    ("B", "D", "DH", "G", "JH", "L", "M", "N", "NG", "R", "V", "W", "Y", "Z", "ZH")
)
# Of 160 lines of learners, whose phones an aligner placed, four in five are found by these, all
# within 60 ms, which the comparison of melodies follows; of contours of other lines, one in 70.
LEAST_FIT: Final = 0.6
"""Correlation of voiced frames and voiced phones."""
LEAST_LEAD: Final = 0.15
"""By which the best place must be better than those elsewhere."""
_ELSEWHERE_S: Final = 0.15
_STEP_S: Final = 0.01
# Silence that is taken to follow a contour; trackers leave out the last frames of a clip.
_TAIL_S: Final = 0.5
# How much of the last word may lie beyond that.
_CUT_S: Final = 0.3
# Longer than any clip; a contour with one point at 1,000,000 s is no reason to lay out so much.
_LONGEST_S: Final = 600.0
# How far from a point of the contour its voicing counts, in steps of it.
_POINT_STEPS: Final = 0.75


@dataclass(frozen=True)
class ClipSpan:
    """Where the clip lies in its TextGrid's own time, seconds.

    `is_said` is False when the file does not say where the clip begins; `start` is then that of
    the first word.
    """

    start: float
    end: float
    is_said: bool = True


def clip_span(
    tier: Tier, first: float, last: float, pitch: PitchContour | None, audio: Recording | None
) -> ClipSpan:
    """Return the clip of a tier whose words begin at `first` and end at `last`.

    Pitch and audio have their own times.
    """
    # The writer set no xmin: 0 stands before words that lie an hour into the film, or less far,
    # but after all that was given of the clip.
    ended = tier.start == 0.0 and (
        (pitch is not None and float(pitch.times[-1]) < first - pitch.step_s)
        or (audio is not None and audio.duration <= first)
    )
    if ended or first - tier.start > FILM_TIME_S:
        return ClipSpan(first, last, is_said=False)
    return ClipSpan(tier.start, tier.end)


def with_lead_in(
    clip: ClipSpan,
    words: Sequence[ReferenceWord],
    pitch: PitchContour | None,
    audio: Recording | None,
) -> tuple[ClipSpan, PitchContour | None, Recording | None]:
    """Return a clip with what lies before its first word, if pitch or audio begin there.

    A contour in film time needs none of it: it is tied to the words as it is. A contour without
    a voiced frame, or beside words of which no voiced phone is known, has nothing to be tied by
    and is left out; so is audio that cannot be tied, of which less depends.

    Parameters
    ----------
    clip : one whose start is not said.
    words : in seconds from the first word's start.
    pitch, audio : the actor's, with their own times.

    Returns
    -------
    The clip, and the pitch and the audio that can be laid beside its words.

    Raises
    ------
    ReferenceFormatError
        Code ``pitch_invalid``: the contour counts from the start of the clip, and where that is
        cannot be heard.
    """
    if pitch is not None and not _share(pitch, clip.start, clip.end):
        if pitch.voiced.any() and any(True for _ in _voiced_spans(words)):
            lead = lead_in(words, pitch) if pitch.times[0] <= FILM_TIME_S else None
            if lead is None:
                raise _other_clip(
                    pitch,
                    clip.start,
                    clip.end,
                    "they are not of the same clip, or not of the same clock: give both in film "
                    "time, or set the TextGrid's xmin to where the clip begins",
                )
            return replace(clip, start=clip.start - lead), pitch, audio
        pitch = None
    if audio is None:
        return clip, pitch, None
    # Praat, which only this asks for here.
    from analysis.pitch import track_pitch

    lead = lead_in(words, track_pitch(audio))
    if lead is None:
        return clip, pitch, None
    return replace(clip, start=clip.start - lead), pitch, audio


def in_clip_time(
    pitch: PitchContour, clip: ClipSpan, words: Sequence[ReferenceWord]
) -> PitchContour:
    """Move a contour that counts from the start of the film; refuse one of another clip.

    Parameters
    ----------
    pitch : with its own times.
    clip : the words'.
    words : in seconds from the start of the clip.

    Raises
    ------
    ReferenceFormatError
        Code ``pitch_invalid``: it shares no time with the words.
    """
    first, last = _edges(words)
    moved = pitch.shifted(-clip.start)
    shares, shares_moved = (_share(contour, first, last) for contour in (pitch, moved))
    inside, inside_moved = (
        int(
            (
                (contour.times >= -pitch.step_s)
                & (contour.times <= clip.end - clip.start + pitch.step_s)
            ).sum()
        )
        for contour in (pitch, moved)
    )
    begins_with_grid = bool(pitch.times[0] >= clip.start - pitch.step_s)
    if not (shares or shares_moved):
        raise _other_clip(
            pitch, clip.start + first, clip.start + last, "they are not of the same clip"
        )
    better = (shares_moved, inside_moved, begins_with_grid) > (shares, inside, False)
    return moved if better else pitch


def lead_in(words: Sequence[ReferenceWord], contour: PitchContour) -> float | None:
    """Find where the first word begins on a contour's clock, by what is voiced in both.

    The place is taken whose voiced phones agree best with the contour's voiced frames: by the phi
    coefficient, which is their correlation. A word without phones in time has those of the
    dictionary, all equally long.

    Parameters
    ----------
    words : in seconds from the first word's start.
    contour : of the clip, from its start.

    Returns
    -------
    float or None
        Seconds, within `FILM_TIME_S`; None where no place fits, or several do.
    """
    if not contour.voiced.any():
        return None
    _, length = _edges(words)
    end = min(contour.times[-1] + _TAIL_S, _LONGEST_S)
    times = np.arange(0.0, max(end, _STEP_S), _STEP_S)
    voiced = _voiced_at(contour, times)
    room = min(max(times[-1] + _CUT_S - length, 0.0), FILM_TIME_S)
    leads = np.arange(round(room / _STEP_S) + 1)
    before = np.append(0, np.cumsum(voiced))
    said, both = np.zeros(len(leads)), np.zeros(len(leads))
    for span in _voiced_spans(words):
        left, right = (np.minimum(round(at / _STEP_S) + leads, len(times)) for at in span)
        said += right - left
        both += before[right] - before[left]
    count, heard = float(len(times)), float(voiced.sum())
    spread = heard * (count - heard) * said * (count - said)
    fit = (count * both - heard * said) / np.sqrt(np.where(spread > 0.0, spread, np.inf))
    best = float(fit.max())
    # Points that lie far apart fit all the same in several places, of which the middle one counts.
    lead = float(leads[fit >= best - 1e-9].mean()) * _STEP_S
    elsewhere = fit[np.abs(leads * _STEP_S - lead) > _ELSEWHERE_S]
    if best < LEAST_FIT or best - max(elsewhere, default=0.0) < LEAST_LEAD:
        return None
    return lead


def _edges(words: Sequence[ReferenceWord]) -> tuple[float, float]:
    return words[0].start or 0.0, words[-1].end or 0.0


def _share(contour: PitchContour, first: float, last: float) -> bool:
    begins, ends = float(contour.times[0]), float(contour.times[-1])
    return begins <= last + contour.step_s and ends >= first - contour.step_s


def _voiced_at(contour: PitchContour, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (m,) whether the point of the contour next to each time is voiced."""
    after = np.clip(np.searchsorted(contour.times, times), 1, max(contour.times.size - 1, 1))
    points = np.append(contour.times, np.inf)
    nearest = np.where(times - points[after - 1] < points[after] - times, after - 1, after)
    distance = np.abs(times - points[nearest])
    near = distance <= _POINT_STEPS * contour.step_s
    voiced: NDArray[np.bool_] = np.append(contour.voiced, False)[nearest] & near
    return voiced


def _voiced_spans(words: Sequence[ReferenceWord]) -> Iterator[tuple[float, float]]:
    for word in words:
        if word.phones:
            timed = [(phone.phone, phone.start, phone.end) for phone in word.phones]
        elif (said := pronounce(word)) and word.start is not None and word.end is not None:
            phones = said.variants[0]
            edges = np.linspace(word.start, word.end, len(phones) + 1).tolist()
            timed = [(phone, *at) for phone, at in zip(phones, pairwise(edges), strict=True)]
        else:
            continue
        yield from ((start, end) for phone, start, end in timed if phone in VOICED)


def _other_clip(pitch: PitchContour, first: float, last: float, what: str) -> ReferenceFormatError:
    return ReferenceFormatError(
        "pitch_invalid",
        f"pitch.json covers {pitch.times[0]:g}–{pitch.times[-1]:g} s and the words "
        f"{first:g}–{last:g} s: {what}.",
    )
