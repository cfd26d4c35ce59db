"""The trees that look at phone scores once more, fitted on speakers whom no network here knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.network import TOP_SCORE
from analysis.phones import PHONES
from analysis.refinement import HELPING, NAMES, USUAL, Usual, rivals
from analysis.trees import Trees
from scripts.training.folds import FOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.hearing import HeardLine

TREES: Final = 150
DEPTH: Final = 4
RATE: Final = 0.05
LEAST_IN_A_LEAF: Final = 200
# Of the columns, for each tree: they say much the same.
SHARE_OF_COLUMNS: Final = 0.3
# As many marks at the mean of all as this are added to those of a phone or a pair.
_PRIOR_MARKS: Final = 20.0


def fit_refinement(
    heard: Sequence[HeardLine],
) -> tuple[tuple[Trees, Usual], list[NDArray[np.float64]]]:
    """Fit on all lines; also return the phones' scores, 0–2, by trees fitted on other folds."""
    table = np.concatenate([one.table for one in heard])
    rows = [one.by["network"].rows for one in heard]
    phones = np.concatenate([own.phones for own in rows])
    rival = np.concatenate(
        [rivals(one.evidence, own.phones) for one, own in zip(heard, rows, strict=True)]
    )
    marks = np.concatenate([np.concatenate(one.line.phone_scores) for one in heard])
    fold = np.concatenate([np.full(len(one.evidence), one.fold) for one in heard])

    def usual_of(folds: set[int]) -> tuple[Usual, NDArray[np.float64]]:
        known = np.isin(fold, list(folds))
        usual = _usual(phones[known], rival[known], marks[known])
        columns = [
            usual.columns(own.phones, one.evidence) for one, own in zip(heard, rows, strict=True)
        ]
        return usual, np.concatenate(columns)

    def fitted(folds: set[int]) -> tuple[Trees, Usual, NDArray[np.float64]]:
        usual, columns = usual_of(folds)
        # What is usual must not be made of the very marks that the trees are to find.
        others = np.zeros_like(columns)
        for one in folds:
            others[fold == one] = usual_of(folds - {one})[1][fold == one]
        known = np.isin(fold, list(folds))
        trees = _boosted(np.c_[table, others][known], marks[known])
        return trees, usual, np.c_[table, columns]

    everyone = set(range(FOLDS))
    found = np.zeros(len(marks))
    for out in everyone:
        trees, _, whole = fitted(everyone - {out})
        found[fold == out] = trees.predict(whole[fold == out])
    trees, usual, _ = fitted(everyone)
    ends = np.cumsum([len(one.evidence) for one in heard])
    return (trees, usual), np.split(np.clip(found, 0.0, TOP_SCORE), ends[:-1])


def write_refinement(fitted: tuple[Trees, Usual], path: Path, provenance: dict[str, Any]) -> None:
    """Write what `analysis.refinement.load_refinement` reads."""
    trees, usual = fitted
    np.savez_compressed(
        path,
        names=np.array(NAMES),
        features=trees.features.astype(np.int16),
        thresholds=trees.thresholds,
        leaves=trees.leaves,
        base=np.array(trees.base),
        usual_phone=usual.phone,
        usual_beside=usual.beside,
        provenance=np.array(json.dumps(provenance)),
    )


def _usual(
    phones: NDArray[np.int64], rival: NDArray[np.int64], marks: NDArray[np.float64]
) -> Usual:
    kinds = len(PHONES)
    middle = marks.mean()

    def means(
        rows: NDArray[np.int64], count: int, prior: NDArray[np.float64] | float
    ) -> NDArray[np.float64]:
        total = np.bincount(rows, marks, minlength=count) + _PRIOR_MARKS * prior
        return total / (np.bincount(rows, minlength=count) + _PRIOR_MARKS)

    phone = means(phones, kinds, middle)
    beside = means(phones * kinds + rival, kinds**2, np.repeat(phone, kinds))
    return Usual(np.append(phone, middle), beside.reshape(kinds, kinds))


def _boosted(rows: NDArray[np.float64], marks: NDArray[np.float64]) -> Trees:
    from sklearn.ensemble import HistGradientBoostingRegressor

    helping = {*HELPING, *USUAL}
    model = HistGradientBoostingRegressor(
        max_iter=TREES, max_depth=DEPTH, max_leaf_nodes=2**DEPTH, learning_rate=RATE,
        min_samples_leaf=LEAST_IN_A_LEAF, max_features=SHARE_OF_COLUMNS, early_stopping=False,
        monotonic_cst=[int(name in helping) for name in NAMES], random_state=0,
    )  # fmt: skip
    model.fit(rows, marks)
    # scikit-learn shows its trees nowhere else; that they are read right is checked below.
    features, thresholds, leaves = zip(
        *(_complete(one[0].nodes) for one in model._predictors), strict=True
    )
    base = float(np.squeeze(model._baseline_prediction))
    trees = Trees(np.stack(features), np.stack(thresholds), np.stack(leaves), base)
    if not np.allclose(trees.predict(rows), model.predict(rows)):
        raise RuntimeError("The trees of this version of scikit-learn are kept in another way.")
    return trees


def _complete(
    nodes: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Fill a tree up to `DEPTH`: below a leaf that comes early, both ways lead to its value."""
    inner = 2**DEPTH - 1
    features, thresholds = np.zeros(inner, np.int64), np.full(inner, np.inf)
    leaves = np.zeros(2**DEPTH)

    def fill(node: int, at: int) -> None:
        here = nodes[node]
        if at >= inner:
            leaves[at - inner] = here["value"]
            return
        if here["is_leaf"]:
            ways = (node, node)
        else:
            features[at], thresholds[at] = here["feature_idx"], here["num_threshold"]
            ways = (int(here["left"]), int(here["right"]))
        for side, below in enumerate(ways, start=1):
            fill(below, 2 * at + side)

    fill(0, 0)
    return features, thresholds, leaves
