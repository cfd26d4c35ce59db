"""An alignment as the network takes it: phones, their pooling windows and their durations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.aligned import BORDER_SHIFT_S
from analysis.features import HOP_SAMPLES, SAMPLE_RATE_HZ
from analysis.phones import PHONE_INDEX, PHONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.aligned import AlignedWord

MEL_FRAME_S: Final = HOP_SAMPLES / SAMPLE_RATE_HZ
# The network halves the frame rate at its first layer.
NET_FRAME_S: Final = 2 * MEL_FRAME_S
# A frame k of the native model is a window that begins at k · 10 ms, ours is centred there.
ALIGNER_LAG_S: Final = 0.0128
PARTS: Final = 3
EXTRAS: Final = 8
# Rows of `pool` at a time: a long line's weights are some hundred MB, and stand there once.
_POOLED_ROWS: Final = 256
_LONGEST_PAUSE_S: Final = 2.0
# Near the middle of the training data, so that the columns are centred.
_USUAL_LOG_DURATION: Final = 2.3  # 100 ms
_USUAL_LOG_RATE: Final = 2.3  # 10 phones a second


@dataclass(frozen=True, eq=False)
class Segments:
    """The phones of a line as arrays.

    Attributes
    ----------
    phones : (P,) int64, rows of `PHONES`.
    spans : (P, 2) float32, start and end in seconds on the clock that the network was taught by,
        `BORDER_SHIFT_S` before what is heard.
    words : (P,) int64, the reference word of each phone.
    extras : (P, `EXTRAS`) float32: log duration; the same less the line's mean; pause before
        and after, s; first in word; last in word; log count of the word's phones; log rate of
        the line in phones a second.
    """

    phones: NDArray[np.int64]
    spans: NDArray[np.float32]
    words: NDArray[np.int64]
    extras: NDArray[np.float32]

    @classmethod
    def at(
        cls, phones: NDArray[np.int64], spans: NDArray[np.float32], words: NDArray[np.int64]
    ) -> Segments:
        """Lay phones out at `spans`."""
        return cls(phones, spans, words, extras(spans, words))

    def word_rows(self) -> NDArray[np.int64]:
        """Return (P,) which of the placed words each phone belongs to."""
        first, _ = word_edges(self.words)
        rows: NDArray[np.int64] = np.cumsum(first) - 1
        return rows

    def word_means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (placed words,) the mean of each word's phones, of values (P,)."""
        members = self.members().astype(np.float64)
        means: NDArray[np.float64] = members @ values / members.sum(axis=1)
        return means

    def word_worst(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (placed words,) the least of each word's phones, of values (P,)."""
        first, _ = word_edges(self.words)
        worst: NDArray[np.float64] = np.minimum.reduceat(values, np.flatnonzero(first))
        return worst

    def pronunciations(self) -> list[list[str]]:
        """Return the phones of each of the placed words."""
        return pronunciations(self.phones, self.words)

    def members(self) -> NDArray[np.float32]:
        """Return (placed words, P): 1 where a phone belongs to a word."""
        row = self.word_rows()
        members = np.zeros((int(row[-1]) + 1, len(row)), dtype=np.float32)
        members[row, np.arange(len(row))] = 1.0
        return members

    def frames(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (P,) each phone's first of `count` frames of 10 ms, and the one past its last.

        Each has one at the least: past the end the last stands in.
        """
        frames = np.rint(self.spans / MEL_FRAME_S).astype(np.int64)
        start = np.minimum(frames[:, 0], count - 1)
        return start, np.maximum(np.minimum(frames[:, 1], count), start + 1)

    def pool(self, frames: int) -> NDArray[np.float32]:
        """Return (`PARTS` · P, frames): weights that average each third of each phone.

        Row 3p + k averages part k of phone p; a frame counts by the time it shares with it.
        """
        start, end = self.spans[:, :1], self.spans[:, 1:]
        edges = start + (end - start) * np.arange(PARTS + 1, dtype=np.float32) / PARTS
        edges = edges + np.float32(ALIGNER_LAG_S)
        left = edges[:, :-1].reshape(-1, 1)
        right = edges[:, 1:].reshape(-1, 1)
        centres = np.arange(frames, dtype=np.float32) * np.float32(NET_FRAME_S)
        half = np.float32(NET_FRAME_S / 2)
        begin, past = centres - half, centres + half
        pooled = np.empty((len(left), frames), dtype=np.float32)
        for at in range(0, len(left), _POOLED_ROWS):
            rows = slice(at, at + _POOLED_ROWS)
            weights = pooled[rows]
            np.minimum(right[rows], past, out=weights)
            weights -= np.maximum(left[rows], begin)
            np.maximum(weights, 0.0, out=weights)
            total = weights.sum(axis=1, keepdims=True)
            outside = np.flatnonzero(total[:, 0] <= 0.0)
            if outside.size:  # past the last frame: the nearest one stands in
                nearest = np.clip(np.rint(left[rows][outside, 0] / NET_FRAME_S), 0, frames - 1)
                weights[outside, nearest.astype(int)] = 1.0
                total[outside] = 1.0
            weights /= total
        return pooled


def pronunciations(phones: NDArray[np.int64], words: NDArray[np.int64]) -> list[list[str]]:
    """Return the phones of each word, of rows of `PHONES` (P,) and the word of each (P,)."""
    first, _ = word_edges(words)
    groups = np.split(phones, np.flatnonzero(first)[1:])
    return [[PHONES[phone] for phone in group] for group in groups]


def word_edges(words: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (P,) whether each phone is the first of its word, and whether it is the last."""
    borders = words[1:] != words[:-1]
    return np.append(True, borders), np.append(borders, True)


def net_frames(mel_frames: int) -> int:
    """Return how many frames the network makes of that many log-mel frames."""
    return (mel_frames + 1) // 2


def segments(words: Sequence[AlignedWord]) -> Segments:
    """Lay the aligned words out as arrays; `words` in time order, at least one phone in all."""
    rows = [(word.index, phone) for word in words for phone in word.phones]
    heard = np.array([(phone.start, phone.end) for _, phone in rows], dtype=np.float64)
    spans = np.maximum(heard - BORDER_SHIFT_S, 0.0).astype(np.float32)
    numbers = np.array([index for index, _ in rows], dtype=np.int64)
    phones = np.array([PHONE_INDEX[phone.phone] for _, phone in rows], dtype=np.int64)
    return Segments.at(phones, spans, numbers)


def path_seconds(frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return where spans of frames begin and end, on the clock that the network was taught by."""
    seconds = (frames - 0.5) * NET_FRAME_S - ALIGNER_LAG_S
    rounded: NDArray[np.float32] = np.round(np.maximum(seconds, 0.0), 3).astype(np.float32)
    return rounded


def extras(spans: NDArray[np.float32], words: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the columns of `Segments.extras` for phones at `spans` (s) in `words`."""
    durations = np.log(np.maximum(spans[:, 1] - spans[:, 0], MEL_FRAME_S))
    gaps = np.clip(spans[1:, 0] - spans[:-1, 1], 0.0, _LONGEST_PAUSE_S)
    speaking = float(spans[-1, 1] - spans[0, 0])
    rate = math.log(max(len(spans) / max(speaking, MEL_FRAME_S), 1.0))
    first, last = word_edges(words)
    columns = np.zeros((len(spans), EXTRAS), dtype=np.float32)
    columns[:, 0] = durations + _USUAL_LOG_DURATION
    columns[:, 1] = durations - durations.mean()
    columns[1:, 2] = gaps
    columns[:-1, 3] = gaps
    columns[:, 4] = first
    columns[:, 5] = last
    columns[:, 6] = np.log(np.bincount(words)[words])
    columns[:, 7] = rate - _USUAL_LOG_RATE
    return columns
