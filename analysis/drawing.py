"""The picture of a result: the line in rows like staves, each with its sound and its melody."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from analysis.result import AnalysisResult, ContourPoint, WordResult

# Sizes are of a page 640 pixels wide, which a phone shows at six tenths: 1.9 s of speech fit
# across it in letters that can still be read there.
WIDTH_PX: Final = 640
ROW_S: Final = 1.9
ROW_PX: Final = 380
HEADER_PX: Final = 190
LINE_PX: Final = 26
MESSAGE_CHARS: Final = 56
DOTS_PER_INCH: Final = 100
# The picture has more pixels than the page, so that it can be enlarged.
PICTURE_SCALE: Final = 1.7
# What a letter of the largest size takes of a row.
SECONDS_PER_LETTER: Final = 0.058
# Shown before the first word and after the last.
MARGIN_S: Final = 0.2

GOOD_FROM: Final = 80.0
FAIR_FROM: Final = 60.0
# Told apart with the common colour vision deficiencies too, and numbers stand beside them.
GOOD: Final = "#14866d"
FAIR: Final = "#c98a00"
WEAK: Final = "#c8384f"
UNKNOWN: Final = "#8a8f98"
INK: Final = "#20242b"
FAINT: Final = "#d5d8de"
OURS: Final = "#2f5fd0"
THEIRS: Final = "#e07b27"

STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 14,
    # "$5 to $6" is no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    # Without it every SVG would carry ids drawn at random.
    "svg.hashsalt": "analysis",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Row:
    """A stretch of the recording that is drawn side by side, in seconds."""

    start: float
    end: float


def colour(score: float | None) -> str:
    """Return the colour of a score: good from 80, fair from 60, else weak."""
    if score is None:
        return UNKNOWN
    return GOOD if score >= GOOD_FROM else FAIR if score >= FAIR_FROM else WEAK


def rows(result: AnalysisResult) -> list[Row]:
    """Break the recording into rows of about equal length, at most `ROW_S`, between words."""
    spans = [word.user for word in result.words if word.user is not None]
    first = max(0.0, spans[0].start - MARGIN_S) if spans else 0.0
    length = result.audio.duration_s
    last = min(length, spans[-1].end + MARGIN_S) if spans else length
    breaks = [(before.end + after.start) / 2.0 for before, after in pairwise(spans)]
    found: list[Row] = []
    start = first
    while last - start > ROW_S:
        wished = start + (last - start) / math.ceil((last - start) / ROW_S)
        # A break in the later half of the row, else a cut through the long word that is there.
        within = [at for at in breaks if start + ROW_S / 2.0 < at <= start + ROW_S]
        end = min(within, key=lambda at: abs(at - wished), default=start + ROW_S)
        found.append(Row(start, end))
        start = end
    return [*found, Row(start, max(last, start + MARGIN_S))]


def row_svg(result: AnalysisResult, row: Row) -> str:
    """Draw one row as an SVG element for a page, which names the two voices itself."""
    with mpl.rc_context(STYLE):
        figure = _figure(ROW_PX)
        _draw_row(figure, result, row, (0.0, 1.0), ())
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    drawn = written.getvalue()
    return drawn[drawn.index("<svg") :]


def picture(result: AnalysisResult, labels: Sequence[str], messages: Sequence[str]) -> bytes:
    """Draw the whole result as a PNG: scores, rows, feedback.

    Parameters
    ----------
    result : what to draw.
    labels : names of the two voices, the recording's and the actor's.
    messages : the feedback's sentences, in letters that matplotlib's own font has.
    """
    systems = rows(result)
    told = [textwrap.wrap(message, MESSAGE_CHARS) for message in messages]
    lines = sum(len(wrapped) + 0.5 for wrapped in told) + 1.0
    height = HEADER_PX + ROW_PX * len(systems) + LINE_PX * lines
    with mpl.rc_context(STYLE):
        figure = _figure(height)
        _draw_scores(figure, result, 1.0 - HEADER_PX / height)
        top = HEADER_PX
        for row in systems:
            _draw_row(
                figure, result, row, (1.0 - (top + ROW_PX) / height, 1.0 - top / height), labels
            )
            top += ROW_PX
        y = top + LINE_PX / 2.0
        for number, wrapped in enumerate(told, start=1):
            figure.text(0.04, 1.0 - y / height, f"{number}.", fontsize=13, va="center")
            for line in wrapped:
                figure.text(0.09, 1.0 - y / height, line, fontsize=13, va="center")
                y += LINE_PX
            y += LINE_PX / 2.0
        written = io.BytesIO()
        figure.savefig(
            written, format="png", dpi=PICTURE_SCALE * DOTS_PER_INCH, metadata={"Software": None}
        )
    return written.getvalue()


def _figure(height_px: float) -> Figure:
    size = (WIDTH_PX / DOTS_PER_INCH, height_px / DOTS_PER_INCH)
    return Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")


def _draw_scores(figure: Figure, result: AnalysisResult, bottom: float) -> None:
    """Write the overall score large and the others as bars beside it."""
    scores = result.scores
    height = 1.0 - bottom
    figure.text(
        0.12,
        bottom + 0.52 * height,
        "–" if scores.overall is None else f"{scores.overall:.0f}",
        fontsize=52,
        fontweight="bold",
        color=colour(scores.overall),
        ha="center",
        va="center",
    )
    others = [
        (name, value)
        for name in ("pronunciation", "timing", "pitch", "fluency", "prosody", "completeness")
        if (value := getattr(scores, name)) is not None
    ]
    axes = figure.add_axes((0.50, bottom + 0.12 * height, 0.41, 0.76 * height))
    axes.set_axis_off()
    axes.set_xlim(0, 100)
    axes.set_ylim(max(len(others), 1) - 0.4, -0.6)
    for place, (name, value) in enumerate(others):
        axes.barh(place, 100, height=0.5, color="#eef0f3")
        axes.barh(place, value, height=0.5, color=colour(value))
        axes.text(-3, place, name, ha="right", va="center", fontsize=13)
        axes.text(102, place, f"{value:.0f}", ha="left", va="center", fontsize=13)


def _draw_row(
    figure: Figure,
    result: AnalysisResult,
    row: Row,
    span: tuple[float, float],
    labels: Sequence[str],
) -> None:
    """Draw the sound above the melody, between two heights of the figure (shares of 1)."""
    bottom, height = span[0], span[1] - span[0]
    sound = figure.add_axes((0.09, bottom + 0.50 * height, 0.89, 0.46 * height))
    melody = figure.add_axes((0.09, bottom + 0.11 * height, 0.89, 0.36 * height))
    for axes in (sound, melody):
        # All rows have one scale: a short last row is a short line, as in a score.
        axes.set_xlim(row.start, row.start + ROW_S)
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
    _draw_sound(sound, result, row)
    _draw_melody(melody, result, row, labels)


def _draw_sound(axes: Axes, result: AnalysisResult, row: Row) -> None:
    axes.set_ylim(-1.5, 1.75)
    axes.set_xticks([])
    axes.set_yticks([])
    if result.audio.waveform is not None:
        _draw_waveform(axes, result, row)
    for word in result.words:
        if word.user is None or not row.start <= word.user.start < row.end:
            continue
        middle = (word.user.start + word.user.end) / 2.0
        shade = colour(word.scores.overall)
        width = word.user.end - word.user.start
        size = min(17.0, 17.0 * width / (SECONDS_PER_LETTER * max(len(word.word), 2)))
        axes.text(
            middle, 1.42, word.word, ha="center", va="center", color=shade,
            fontsize=max(size, 8.0), fontweight="bold",
        )  # fmt: skip
        for phone in word.phones:
            axes.broken_barh(
                [(phone.start, max(phone.end - phone.start - 0.006, 0.004))], (-1.2, 0.1),
                facecolors=colour(phone.score),
            )  # fmt: skip
            axes.text(
                (phone.start + phone.end) / 2.0, -1.4, phone.phone, ha="center", va="center",
                fontsize=9.5 if phone.end - phone.start >= 0.055 else 6.5,
                color=colour(phone.score),
            )  # fmt: skip
    for word, where in _omitted(result):
        if row.start <= where < row.end:
            axes.plot([where, where], [-1.0, 1.0], color=WEAK, linestyle=":", linewidth=1.5)
            axes.text(
                where, 1.15, f"[{word.word}]", ha="center", va="center", color=WEAK, fontsize=12
            )


def _draw_waveform(axes: Axes, result: AnalysisResult, row: Row) -> None:
    waveform = result.audio.waveform
    if waveform is None:
        return
    peaks = np.asarray(waveform.peaks, float)
    times = (np.arange(peaks.size) + 0.5) * waveform.step_s
    level = peaks / max(float(peaks.max(initial=0.0)), 1.0)
    stretches = [(row.start, row.end, FAINT)] + [
        (word.user.start, word.user.end, colour(word.scores.overall))
        for word in result.words
        if word.user is not None
    ]
    for start, end, shade in stretches:
        # A step more at the end closes the seam to the next stretch.
        here = (times >= max(start, row.start)) & (times < min(end, row.end) + waveform.step_s)
        axes.fill_between(
            times[here], -level[here], level[here], color=shade, step="mid", linewidth=0
        )


def _omitted(result: AnalysisResult) -> list[tuple[WordResult, float]]:
    """Return each omitted word with the time of the gap it should have been in."""
    found = []
    for place, word in enumerate(result.words):
        if word.status == "omitted":
            before = [w.user.end for w in result.words[:place] if w.user is not None]
            after = [w.user.start for w in result.words[place:] if w.user is not None]
            ends = [*before[-1:], *after[:1]]
            if ends:
                found.append((word, sum(ends) / len(ends)))
    return found


def _draw_melody(axes: Axes, result: AnalysisResult, row: Row, labels: Sequence[str]) -> None:
    contours = result.pitch.contours
    ticks = np.arange(np.ceil(2.0 * row.start) / 2.0, row.end + 0.01, 0.5)
    axes.set_xticks(ticks, [f"{tick:.1f} s" for tick in ticks], fontsize=11)
    axes.tick_params(length=0)
    if contours is None or not (contours.user or contours.reference):
        axes.set_yticks([])
        return
    values = [v for _, v in [*contours.user, *contours.reference] if v is not None]
    low, high = min([-4.0, *values]), max([4.0, *values])
    axes.set_ylim(low - 1.0, high + 1.0)
    axes.set_yticks([-6, 0, 6], ["−6 st", "0", "+6 st"], fontsize=11)
    axes.axhline(0.0, color=FAINT, linewidth=1.0)
    for points, shade, width, label in (
        (contours.reference, THEIRS, 7.0, labels[1] if labels else None),
        (contours.user, OURS, 3.0, labels[0] if labels else None),
    ):
        times, semitones = _line(points, row)
        axes.plot(
            times, semitones, color=shade, linewidth=width, label=label,
            alpha=0.55 if shade == THEIRS else 1.0, solid_capstyle="round",
            marker="o" if _is_coarse(points) else None, markersize=width,
        )  # fmt: skip
    if labels:
        axes.legend(loc="upper right", frameon=False, ncols=2, fontsize=12, borderaxespad=0.0)


def _line(points: Sequence[ContourPoint], row: Row) -> tuple[list[float], list[float]]:
    here = [(t, v) for t, v in points if row.start <= t < row.end]
    return [t for t, _ in here], [np.nan if v is None else v for _, v in here]


def _is_coarse(points: Sequence[ContourPoint]) -> bool:
    """Tell whether values lie so far apart that they are better shown as dots."""
    times = [t for t, v in points if v is not None]
    return len(times) > 1 and float(np.median(np.diff(times))) > 0.05
