"""The two detectors: a word that was not said, and a text that is not what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.presence import LINE_FEATURES, WORD_FEATURES
from scripts.training.folds import FOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.hearing import HeardLine, HeardMismatch
    from scripts.training.mismatches import Kind

# What a learner is told must be true: false alarms that the thresholds allow.
OMISSION_FALSE_ALARMS: Final = 0.005  # of words that were said
WRONG_TEXT_FALSE_ALARMS: Final = 0.002  # of lines that were read


def fit_detectors(
    scorer: str, heard: Sequence[HeardLine], mismatches: Sequence[HeardMismatch]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the omission detector, the wrong-text detector, and what each finds when held out.

    Parameters
    ----------
    scorer : whose detectors.
    heard : lines whose text was said.
    mismatches : lines whose text was not.
    """
    said = np.concatenate([one.by[scorer].word_evidence for one in heard])
    said_fold = np.concatenate(
        [np.full(len(one.by[scorer].word_evidence), one.fold) for one in heard]
    )
    omission, omission_report = _fit(
        said, said_fold, _faults(scorer, mismatches, ("extra_word", "cut_word")),
        false_alarms=OMISSION_FALSE_ALARMS, names=WORD_FEATURES,
    )  # fmt: skip
    wrong, wrong_report = _fit(
        np.stack([one.by[scorer].line_evidence for one in heard]),
        np.array([one.fold for one in heard]),
        _faults(scorer, mismatches, ("other_text",)),
        false_alarms=WRONG_TEXT_FALSE_ALARMS, names=LINE_FEATURES,
    )  # fmt: skip
    return omission, wrong, {"omission": omission_report, "wrong_text": wrong_report}


def _faults(
    scorer: str, mismatches: Sequence[HeardMismatch], kinds: Sequence[Kind]
) -> dict[str, list[tuple[int, NDArray[np.float64]]]]:
    """Return the fold and the row of each mismatch of these kinds."""
    return {
        kind: [(one.fold, one.by[scorer]) for one in mismatches if one.kind == kind]
        for kind in kinds
    }


def _fit(
    fine: NDArray[np.float64],
    fine_fold: NDArray[np.int64],
    faults: Mapping[str, Sequence[tuple[int, NDArray[np.float64]]]],
    *,
    false_alarms: float,
    names: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    kinds = np.array([kind for kind, rows in faults.items() for _ in rows])
    fault = np.stack([row for rows in faults.values() for _, row in rows])
    fault_fold = np.array([fold for rows in faults.values() for fold, _ in rows])
    fine_found, fault_found = np.zeros(len(fine)), np.zeros(len(fault))
    for out in range(FOLDS):
        weights, bias = _logistic(fine[fine_fold != out], fault[fault_fold != out])
        fine_found[fine_fold == out] = fine[fine_fold == out] @ weights + bias
        fault_found[fault_fold == out] = fault[fault_fold == out] @ weights + bias
    weights, bias = _logistic(fine, fault)
    threshold = float(np.quantile(fine_found, 1.0 - false_alarms))
    report = {
        kind: {
            "made": int((kinds == kind).sum()),
            "auc": round(_auc(fine_found, fault_found[kinds == kind]), 4),
            **{
                f"found_at_{share:.1%}_false_alarms": round(
                    float((fault_found[kinds == kind] > np.quantile(fine_found, 1 - share)).mean()),
                    3,
                )
                for share in (false_alarms, 0.01, 0.03)
            },
        }
        for kind in faults
    }
    fitted = {
        "features": list(names),
        "weights": [float(f"{weight:.6g}") for weight in weights],
        "bias": round(bias, 5),
        "threshold": round(float(1.0 / (1.0 + np.exp(-threshold))), 6),
    }
    return fitted, report


def _logistic(
    fine: NDArray[np.float64], fault: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return weights on raw features; both classes count the same."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate((fine, fault))
    y = np.r_[np.zeros(len(fine)), np.ones(len(fault))]
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    model = LogisticRegression(C=0.3, max_iter=2000, class_weight="balanced")
    model.fit((x - mean) / deviation, y)
    weights: NDArray[np.float64] = model.coef_[0] / deviation
    return weights, float(model.intercept_[0] - mean @ weights)


def _auc(fine: NDArray[np.float64], fault: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(np.r_[fine, fault])
    above = ranks[len(fine) :].sum() - len(fault) * (len(fault) + 1) / 2
    return float(above / (len(fine) * len(fault)))
