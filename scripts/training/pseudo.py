"""Targets for the lines that no expert scored as a whole, from what experts said of their phones.

Words and lines of 361 recordings were scored, phones of all 2,500. A word's score follows from
its phones' scores (correlation 0.94 on held-out speakers), a line's in good part (0.79 for
accuracy and total), so that what is learnt on the 361 stands in for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.scorer import PHONE_TO_PERCENT
from analysis.segments import extras
from scripts.training.corpus import UTTERANCE_LABELS, Example, Line

if TYPE_CHECKING:
    from numpy.typing import NDArray

PSEUDO_LINE_WEIGHT: Final = 0.3
_TO_NETWORK: Final = 5.0  # the experts' 0–10 to the phones' 0–2
_PENALTY: Final = 3.0


def with_targets(examples: list[Example]) -> list[Example]:
    """Return the examples with word and line targets; only labels of these examples are used."""
    from sklearn.ensemble import GradientBoostingRegressor

    judged = [example for example in examples if example.line.word_scores is not None]
    rows = np.concatenate([word_rows(example.line) for example in judged])
    known = np.concatenate([np.array(example.line.word_scores) for example in judged])
    words = GradientBoostingRegressor(max_depth=3, n_estimators=100, random_state=0)
    words.fit(rows, known)
    goals = line_goals(examples, [True] * len(examples)) / PHONE_TO_PERCENT
    whole = []
    for example, goal in zip(examples, goals, strict=True):
        line = example.line
        found = np.array(line.word_scores) if line.word_scores else words.predict(word_rows(line))
        whole.append(
            replace(
                example,
                word_targets=(found / _TO_NETWORK).astype(np.float32),
                line_targets=goal.astype(np.float32),
                line_weight=1.0 if line.scores is not None else PSEUDO_LINE_WEIGHT,
            )
        )
    return whole


def line_goals(examples: Sequence[Example], usable: Sequence[bool]) -> NDArray[np.float64]:
    """Return (lines, 4) goals, 0–100: the experts' own, or what a ridge regression makes of them.

    The regression learns from the labels of the `usable` examples alone.
    """
    scored = [e for e, use in zip(examples, usable, strict=True) if use and e.line.scores]
    features = np.stack([line_row(example) for example in scored])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = np.c_[(features - mean) / deviation, np.ones(len(features))]
    penalty = np.diag([*np.full(x.shape[1] - 1, _PENALTY), 0.0])
    wanted = np.array([_goals(example.line) for example in scored])
    weights = np.linalg.solve(x.T @ x + penalty, x.T @ wanted)
    rows = (np.stack([line_row(example) for example in examples]) - mean) / deviation
    goals = np.clip(np.c_[rows, np.ones(len(rows))] @ weights, 0.0, 10.0)
    for row, example in enumerate(examples):
        if example.line.scores is not None:
            goals[row] = _goals(example.line)
    percent: NDArray[np.float64] = goals * 10.0
    return percent


def _goals(line: Line) -> NDArray[np.float64]:
    scores = line.scores or {}
    return np.array([scores[key] for key in UTTERANCE_LABELS])


def word_rows(line: Line) -> NDArray[np.float64]:
    """Return a row for each word: what its phones' scores say of it."""
    rows = []
    for scores in line.phone_scores:
        ordered = np.sort(np.array(scores))
        wrong = ordered < 1.0
        rows.append(
            [
                ordered.mean(),
                ordered[0],
                len(ordered),
                wrong.mean(),
                wrong.sum(),
                ordered[:2].mean(),
            ]
        )
    return np.array(rows)


def line_row(example: Example) -> NDArray[np.float64]:
    """Return what the phones' scores and times say of the line."""
    scores = example.targets.astype(np.float64)
    columns = extras(example.spans, example.words).astype(np.float64)
    pauses = columns[:, 2]
    worst = [min(word) for word in example.line.phone_scores]
    return np.array(
        [
            scores.mean(), (scores < 0.5).mean(), (scores < 1.0).mean(), (scores < 1.9).mean(),
            np.mean(worst), columns[0, 7], columns[:, 0].mean(), columns[:, 0].std(),
            (pauses > 0.2).mean(), pauses.sum() / max(float(example.spans[-1, 1]), 0.1),
            pauses.max(), np.log(len(scores)),
        ]
    )  # fmt: skip
