"""Speech beside the line: where something was said that does not stand in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analysis.segments import path_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.aligned import AlignedWord
    from analysis.trellis import Path

# Of 2,500 lines read aloud 3 in 100 have more, most of which are words said twice and other
# voices (scripts/measure_insertion.py).
LEAST_GAIN_NATS: Final = 60.0


@dataclass(frozen=True)
class Insertion:
    """A stretch of speech, in seconds on the recording.

    `before` is the index of the reference word that follows it; None after the last.
    """

    start: float
    end: float
    before: int | None


def find_insertions(path: Path, words: Sequence[AlignedWord]) -> tuple[Insertion, ...]:
    """Find speech that the line's words leave unexplained, in order of time.

    Parameters
    ----------
    path : the line's best path, with what it would win by other speech at each gap.
    words : the words that the path was found for.
    """
    gains, spans = path.extra, path.extra_spans
    gaps = [gap for gap in range(len(words) + 1) if gains[gap] >= LEAST_GAIN_NATS]
    taken: list[int] = []
    # One stretch may fit on either side of a short word: it counts where it wins most.
    for gap in sorted(gaps, key=lambda gap: -gains[gap]):
        start, end = spans[gap]
        if all(end <= spans[one, 0] or spans[one, 1] <= start
               for one in taken):  # fmt: skip
            taken.append(gap)
    seconds = path_seconds(spans).astype(float).round(3)
    return tuple(
        Insertion(
            start=float(seconds[gap, 0]),
            end=float(seconds[gap, 1]),
            before=words[gap].index if gap < len(words) else None,
        )
        for gap in sorted(taken)
    )
