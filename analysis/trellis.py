"""The line's phones against each frame's evidence: best path, and what each word adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import PHONE_INDEX, PHONES

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
class _States:
    """What a path passes: silence, the first word's states, silence, and so on.

    Attributes
    ----------
    columns : (n,) of the evidence.
    starts, ends : (W,) the first and the last state of each word.
    """

    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @property
    def closed(self) -> NDArray[np.float64]:
        """(n − 2,) what a score is at most when it passes by the state before the third and on.

        `_NEVER`, but before a word's first phone: it may follow the silence before it or, passing
        that, the word before.
        """
        closed = np.full(len(self.columns), _NEVER)
        closed[self.starts] = np.inf
        return closed[2:]

    @property
    def spoken(self) -> NDArray[np.int64]:
        """The states that are no silence."""
        return np.concatenate(
            [np.arange(a, b + 1) for a, b in zip(self.starts, self.ends, strict=True)]
        )


@dataclass(frozen=True, eq=False)
class _Search:
    """What a search for the best path leaves behind: all that its evidence is worked out from."""

    evidence: NDArray[np.float64]
    states: _States
    forward: NDArray[np.float64]

    @cached_property
    def onward(self) -> NDArray[np.float64]:
        """The best score from each frame and state to the end, that frame included."""
        return _backward(self.evidence, self.states)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the best path of a line has its phones.

    Attributes
    ----------
    spans : (P, 2) int64, first frame and one past the last frame of each phone.
    score : log likelihood of the whole path.
    """

    spans: NDArray[np.int64]
    score: float


@dataclass(frozen=True, eq=False)
class Path(Placement):
    """The best path of a line, and what the other paths say of it.

    That is worked out when it is asked for: where words are only placed, nobody does.
    """

    _search: _Search = field(repr=False)

    @property
    def fit(self) -> float:
        """The path's log likelihood over that of any phones at all, a frame of speech; nats."""
        return _fit(self._search.evidence, self.score)

    @property
    def speech_share(self) -> float:
        """The share of frames that no silence fits best."""
        return float(_speech(self._search.evidence).mean())

    @property
    def shortened(self) -> float:
        """Log likelihood won when the line may end early or begin late.

        The evidence that words at one of its ends were not said, in nats. Negative: they were.
        """
        found, states = self._search, self._search.states
        early = np.maximum(found.forward[-1, states.ends], found.forward[-1, states.ends + 1])
        late = np.maximum(found.onward[0, states.starts], found.onward[0, states.starts - 1])
        if len(early) == 1:
            return 0.0
        return float(max(early[:-1].max(), late[1:].max())) - self.score

    @cached_property
    def presence(self) -> NDArray[np.float64]:
        """(W,) log likelihood lost when a word is left out and all others are kept.

        Its evidence of having been said, in nats. Negative: the line fits better without it.
        """
        found = self._search
        return self.score - _without_each(found.forward, found.onward, found.states)

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
        speech = found.evidence[:, :-1].max(axis=1) - EXTRA_COST
        return _with_extra(found.forward, found.onward, speech, found.states)


@dataclass(frozen=True)
class Part:
    """Words of a line that follow each other: from `first` to before `past`.

    `fit` is that of the path through them alone; see `Path.fit`.
    """

    first: int
    past: int
    fit: float


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
    states = _states(words, 1)
    found = _search(evidence, states, kept_rows=len(evidence))
    if found is None:
        return None
    spans, score, forward = found
    return Path(spans, score, _Search(evidence, states, forward))


def best_places(
    evidence: NDArray[np.float64], words: Sequence[Sequence[str]], each: int
) -> Placement | None:
    """Find where the best path has its phones, each of which passes several states.

    Nothing else is kept, for there are many states.

    Parameters
    ----------
    evidence : (frames, 39 · `each` + 1) log likelihoods of the `PHONES`, each by its states in
        the order in which they are passed, and of silence.
    words : the phones of each word.
    each : how many states a phone has.

    Returns
    -------
    Placement or None
        None when there are fewer frames than states.
    """
    found = _search(evidence, _states(words, each), kept_rows=2)
    if found is None:
        return None
    spans, score, _ = found
    return Placement(np.stack((spans[::each, 0], spans[each - 1 :: each, 1]), axis=1), score)


def best_part(evidence: NDArray[np.float64], words: Sequence[Sequence[str]]) -> Part | None:
    """Find the words, one after another, that fit best as all that was said.

    Parameters
    ----------
    evidence, words : as `best_path` takes them; there may be fewer frames than phones.

    Returns
    -------
    Part or None
        None when silence fits better than any word.
    """
    states = _states(words, 1)
    forward, step = _forward(evidence, states, 2, anywhere=True)
    ending = forward[(len(evidence) - 1) % 2]
    finals = np.concatenate((states.ends, states.ends + 1))
    final = int(finals[ending[finals].argmax()])
    first = np.searchsorted(states.ends, _passed(step, final)[0])
    past = np.searchsorted(states.starts, final, side="right")
    if first >= past:
        return None
    return Part(int(first), int(past), _fit(evidence, float(ending[final])))


def log_evidence(
    posteriors: NDArray[np.float32],
    log_priors: NDArray[np.float64],
    prior_power: float = PRIOR_POWER,
) -> NDArray[np.float64]:
    """Return log p(phone | frame) − `prior_power` · log p(phone), floored."""
    logs: NDArray[np.float64] = np.log(np.maximum(posteriors.astype(np.float64), FLOOR))
    return logs - prior_power * log_priors


def _states(words: Sequence[Sequence[str]], each: int) -> _States:
    silence = each * len(PHONES)
    columns, starts, ends = [silence], [], []
    for word in words:
        starts.append(len(columns))
        columns += [each * PHONE_INDEX[phone] + state for phone in word for state in range(each)]
        ends.append(len(columns) - 1)
        columns.append(silence)
    return _States(np.array(columns), np.array(starts), np.array(ends))


def _search(
    evidence: NDArray[np.float64], states: _States, *, kept_rows: int
) -> tuple[NDArray[np.int64], float, NDArray[np.float64]] | None:
    """Return the frames of each spoken state, the path's score, and the scores that it kept.

    Those are all of the search where `kept_rows` is the number of frames.
    """
    if len(evidence) < len(states.spoken):
        return None
    forward, step = _forward(evidence, states, kept_rows)
    final = len(states.columns) - 1
    ending = forward[(len(evidence) - 1) % kept_rows]
    if ending[final] < ending[final - 1]:
        final -= 1
    score = float(ending[final])
    return None if score <= _NEVER / 2 else (_trace(step, final, states), score, forward)


def _forward(
    evidence: NDArray[np.float64], states: _States, kept_rows: int, *, anywhere: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return the best scores of the last rows, row t at t modulo their number, and all steps.

    A path begins with the first word or the silence before it; `anywhere`, with any.
    """
    frames, count = len(evidence), len(states.columns)
    step = np.zeros((frames, count), dtype=np.int8)
    # Each row holds what its frame says, until the best way to it is added.
    scores = np.take(evidence[:kept_rows], states.columns, axis=1)
    begins = np.zeros(count, dtype=bool)
    begins[:2] = True
    if anywhere:
        begins[states.starts] = begins[states.starts - 1] = True
    scores[0, ~begins] = _NEVER
    closed = states.closed
    # Whole rows at a time, into arrays made once: a maximum over three rows, as an axis, takes
    # numpy twice as long.
    best, better, passed = np.empty(count), np.empty(count, dtype=bool), np.empty(count - 2)
    for t in range(1, frames):
        before, now, choice = scores[(t - 1) % kept_rows], scores[t % kept_rows], step[t]
        if t >= kept_rows:
            np.take(evidence[t], states.columns, out=now, mode="clip")
        np.copyto(best, before)
        np.greater(before[:-1], best[1:], out=better[1:])
        np.maximum(best[1:], before[:-1], out=best[1:])
        choice[1:] = better[1:]
        np.minimum(before[:-2], closed, out=passed)
        np.greater(passed, best[2:], out=better[2:])
        np.maximum(best[2:], passed, out=best[2:])
        np.putmask(choice[2:], better[2:], 2)
        now += best
        np.maximum(now, _NEVER, out=now)
    return scores, step


def _backward(evidence: NDArray[np.float64], states: _States) -> NDArray[np.float64]:
    """Return the best score from each frame and state, that frame included, to the end.

    The end is either of the last two states.
    """
    frames, count = len(evidence), len(states.columns)
    scores = np.take(evidence, states.columns, axis=1)
    scores[-1, :-2] += _NEVER
    closed = states.closed
    best, passed = np.empty(count), np.empty(count - 2)
    for t in range(frames - 2, -1, -1):
        after = scores[t + 1]
        np.copyto(best, after)
        np.maximum(best[:-1], after[1:], out=best[:-1])
        np.minimum(after[2:], closed, out=passed)
        np.maximum(best[:-2], passed, out=best[:-2])
        np.maximum(best, _NEVER, out=best)
        scores[t] += best
    return scores


def _without_each(
    forward: NDArray[np.float64],
    onward: NDArray[np.float64],
    states: _States,
) -> NDArray[np.float64]:
    """Return the best path score with word w, and only it, passed by.

    `onward` is the best score from a frame and state to the end, that frame included.
    """
    starts, ends = states.starts, states.ends
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
    states: _States,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the best path score with other speech at each gap, and that speech's frames.

    `speech` is what a frame scores as any phone at all. In one pass for each gap: with S the sum
    of `speech` so far, the best of before(t) − S(t) over the frames t at which it may begin is
    carried along to every frame at which it may end.
    """
    frames = len(forward)
    starts, ends = states.starts, states.ends
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


def _fit(evidence: NDArray[np.float64], score: float) -> float:
    speech = max(int(_speech(evidence).sum()), 1)
    return float(score - evidence.max(axis=1).sum()) / speech


def _speech(evidence: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (frames,) whether something else than silence fits best."""
    speech: NDArray[np.bool_] = evidence.argmax(axis=1) != evidence.shape[1] - 1
    return speech


def _trace(step: NDArray[np.int8], final: int, states: _States) -> NDArray[np.int64]:
    """Return (spoken states, 2): the first frame in each, and the one past its last."""
    at = _passed(step, final)
    first = np.searchsorted(at, states.spoken, side="left")
    past = np.searchsorted(at, states.spoken, side="right")
    return np.stack((first, past), axis=1)


def _passed(step: NDArray[np.int8], final: int) -> NDArray[np.int64]:
    """Return (frames,) the state that the path to `final` is in."""
    at = np.empty(len(step), dtype=np.int64)
    state = final
    for t in range(len(step) - 1, -1, -1):
        at[t] = state
        state -= int(step[t, state])
    return at
