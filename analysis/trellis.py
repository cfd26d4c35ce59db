"""The line's phones against the network's posteriors: best path, and what each word adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import PHONE_INDEX, SILENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Posteriors below this say no less: one frame must not decide over a whole line.
FLOOR: Final = 1e-4
# Divides the posterior by this power of the class's prior, so that rare phones are not lost.
PRIOR_POWER: Final = 0.8
# What speech beside the line's words costs a frame, in nats: more than words of the line, said
# badly, lack beside whichever phones fit best.
EXTRA_COST: Final = 2.0
# Shorter than any word: a breath or a smack of the lips.
LEAST_EXTRA_FRAMES: Final = 10
_NEVER: Final = -1e9


@dataclass(frozen=True, eq=False)
class _Search:
    """What a search for the best path leaves behind: all that its evidence is worked out from."""

    evidence: NDArray[np.float64]
    emitted: NDArray[np.float64]
    forward: NDArray[np.float64]
    skips: NDArray[np.bool_]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @cached_property
    def onward(self) -> NDArray[np.float64]:
        """The best score from each frame and state to the end, that frame included."""
        return self.emitted + _backward(self.emitted, self.skips)


@dataclass(frozen=True, eq=False)
class Path:
    """The best path of a line.

    What it says beside `spans` and `score` is worked out when it is asked for: where words are
    only placed, nobody does.

    Attributes
    ----------
    spans : (P, 2) int64, first frame and one past the last frame of each phone.
    score : log likelihood of the whole path.
    """

    spans: NDArray[np.int64]
    score: float
    _search: _Search = field(repr=False)

    @cached_property
    def presence(self) -> NDArray[np.float64]:
        """(W,) log likelihood lost when a word is left out and all others are kept.

        Its evidence of having been said, in nats. Negative: the line fits better without it.
        """
        found = self._search
        return self.score - _without_each(found.forward, found.onward, found.starts, found.ends)

    @property
    def extra(self) -> NDArray[np.float64]:
        """(W + 1,) log likelihood won when other speech may stand before word w (last: at the end).

        The evidence that something was inserted, in nats.
        """
        return self._with_extra[0] - self.score

    @property
    def extra_spans(self) -> NDArray[np.int64]:
        """(W + 1, 2) where that speech would stand, first frame and one past the last."""
        return self._with_extra[1]

    @cached_property
    def _with_extra(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        found = self._search
        speech = found.evidence[:, :SILENCE].max(axis=1) - EXTRA_COST
        return _with_extra(found.forward, found.onward, speech, found.starts, found.ends)


def best_path(evidence: NDArray[np.float64], words: Sequence[Sequence[str]]) -> Path | None:
    """Find the best path (Viterbi) with an optional silence around each word.

    Parameters
    ----------
    evidence : (frames, 40) log likelihoods, as `log_evidence` makes them.
    words : the phones of each word.

    Returns
    -------
    Path or None
        None when there are fewer frames than phones.
    """
    states, starts, ends = _states(words)
    frames = len(evidence)
    if frames < sum(len(word) for word in words):
        return None
    emitted = evidence[:, states]
    # A word's first phone may follow the silence before it or, passing that, the word before.
    skips = np.zeros(len(states), dtype=bool)
    skips[starts] = True
    forward, step = _forward(emitted, skips, entry=(0, int(starts[0])))
    last = len(states) - 1
    final = last if forward[-1, last] >= forward[-1, last - 1] else last - 1
    score = float(forward[-1, final])
    if score <= _NEVER / 2:
        return None
    search = _Search(evidence, emitted, forward, skips, starts, ends)
    return Path(_trace(step, final, states, starts, ends), score, search)


def log_evidence(
    posteriors: NDArray[np.float32],
    log_priors: NDArray[np.float64],
    prior_power: float = PRIOR_POWER,
) -> NDArray[np.float64]:
    """Return log p(phone | frame) − `prior_power` · log p(phone), floored."""
    logs: NDArray[np.float64] = np.log(np.maximum(posteriors.astype(np.float64), FLOOR))
    return logs - prior_power * log_priors


def _states(
    words: Sequence[Sequence[str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the class of each state, and the first and last state of each word."""
    classes, starts, ends = [SILENCE], [], []
    for word in words:
        starts.append(len(classes))
        classes += [PHONE_INDEX[phone] for phone in word]
        ends.append(len(classes) - 1)
        classes.append(SILENCE)
    return np.array(classes), np.array(starts), np.array(ends)


def _forward(
    emitted: NDArray[np.float64], skips: NDArray[np.bool_], entry: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    frames, count = emitted.shape
    scores = np.full((frames, count), _NEVER)
    step = np.zeros((frames, count), dtype=np.int8)
    scores[0, list(entry)] = emitted[0, list(entry)]
    closed = _closed(skips)[2:]
    # Whole rows at a time, into arrays made once: a maximum over three rows, as an axis, takes
    # numpy twice as long.
    better = np.empty(count, dtype=bool)
    passed = np.empty(count - 2)
    for t in range(1, frames):
        before, now, choice = scores[t - 1], scores[t], step[t]
        np.copyto(now, before)
        np.greater(before[:-1], now[1:], out=better[1:])
        np.maximum(now[1:], before[:-1], out=now[1:])
        choice[1:] = better[1:]
        np.minimum(before[:-2], closed, out=passed)
        np.greater(passed, now[2:], out=better[2:])
        np.maximum(now[2:], passed, out=now[2:])
        np.putmask(choice[2:], better[2:], 2)
        now += emitted[t]
        np.maximum(now, _NEVER, out=now)
    return scores, step


def _backward(emitted: NDArray[np.float64], skips: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the best score after each frame and state, to either of the last two states."""
    frames, count = emitted.shape
    scores = np.full((frames, count), _NEVER)
    scores[-1, -2:] = 0.0
    closed = _closed(skips)[2:]
    after = np.empty(count)
    passed = np.empty(count - 2)
    for t in range(frames - 2, -1, -1):
        now = scores[t]
        np.add(scores[t + 1], emitted[t + 1], out=after)
        np.copyto(now, after)
        np.maximum(now[:-1], after[1:], out=now[:-1])
        np.minimum(after[2:], closed, out=passed)
        np.maximum(now[:-2], passed, out=now[:-2])
        np.maximum(now, _NEVER, out=now)
    return scores


def _closed(skips: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what a score is at most when it passes a silence by: `_NEVER` where none can be."""
    return np.where(skips, np.inf, _NEVER)


def _without_each(
    forward: NDArray[np.float64],
    onward: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the best path score with word w, and only it, passed by.

    `onward` is the best score from a frame and state to the end, that frame included.
    """
    without = np.full(len(starts), _NEVER)
    for w, (start, end) in enumerate(zip(starts, ends, strict=True)):
        left = forward[:-1, start - 1]
        if w:
            left = np.maximum(left, forward[:-1, ends[w - 1]])
        right = onward[1:, end + 1]
        if w + 1 < len(starts):
            right = np.maximum(right, onward[1:, starts[w + 1]])
        without[w] = (left + right).max()
        if w == 0:  # the line may begin with what follows the missing word
            without[w] = max(without[w], onward[0, end + 1])
            if len(starts) > 1:
                without[w] = max(without[w], onward[0, starts[1]])
        if w == len(starts) - 1:  # or end with what came before it
            without[w] = max(without[w], forward[-1, start - 1])
            if w:
                without[w] = max(without[w], forward[-1, ends[w - 1]])
    return without


def _with_extra(
    forward: NDArray[np.float64],
    onward: NDArray[np.float64],
    speech: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the best path score with other speech at each gap, and that speech's frames.

    `speech` is what a frame scores as any phone at all. In one pass for each gap: with S the sum
    of `speech` so far, the best of before(t) − S(t) over the frames t at which it may begin is
    carried along to every frame at which it may end.
    """
    frames = len(forward)
    total = np.concatenate(([0.0], np.cumsum(speech)))
    scores = np.full(len(starts) + 1, _NEVER)
    spans = np.zeros((len(starts) + 1, 2), dtype=np.int64)
    if frames < LEAST_EXTRA_FRAMES:
        return scores, spans
    for gap in range(len(starts) + 1):
        # The path before frame t, and from frame t on; a line may begin or end with it.
        before = np.full(frames + 1, _NEVER)
        after = np.full(frames + 1, _NEVER)
        if gap == 0:
            before[1:] = forward[:, 0]
            before[0] = 0.0
        else:
            before[1:] = np.maximum(forward[:, ends[gap - 1]], forward[:, ends[gap - 1] + 1])
        if gap == len(starts):
            after[:-1] = onward[:, -1]
            after[-1] = 0.0
        else:
            after[:-1] = np.maximum(onward[:, starts[gap]], onward[:, starts[gap] - 1])
        lead = before - total
        best = np.maximum.accumulate(lead[: frames + 1 - LEAST_EXTRA_FRAMES])
        joined = best + after[LEAST_EXTRA_FRAMES:] + total[LEAST_EXTRA_FRAMES:]
        end = int(np.argmax(joined))
        scores[gap] = joined[end]
        spans[gap] = int(np.argmax(lead[: end + 1])), end + LEAST_EXTRA_FRAMES
    return scores, spans


def _trace(
    step: NDArray[np.int8],
    final: int,
    states: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    at = np.empty(len(step), dtype=np.int64)
    state = final
    for t in range(len(step) - 1, -1, -1):
        at[t] = state
        state -= int(step[t, state])
    spoken = np.concatenate([np.arange(a, b + 1) for a, b in zip(starts, ends, strict=True)])
    first = np.searchsorted(at, spoken, side="left")
    past = np.searchsorted(at, spoken, side="right")
    return np.stack((first, past), axis=1)
