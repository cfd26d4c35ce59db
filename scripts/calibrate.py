"""Fit all numbers of `analysis/data/calibration.json`, and report what held-out speakers say.

Needs the fold networks that `scripts/train_scorer.py` keeps in its cache: every line is heard by
the network that never met its speaker, and the heads that score a fold are fitted on the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.calibration import CALIBRATION_PATH, FEATURES, HEADS
from analysis.phones import PHONES
from analysis.refinement import REFINEMENT_PATH, refined_words
from analysis.scorer import PHONE_TO_PERCENT
from analysis.substitution import said_instead
from scripts.train_scorer import ATTRIBUTION, DEFAULT_CACHE, DEFAULT_DATA, network_folder
from scripts.training.agreement import AGES, Pairs, agreement, pearson
from scripts.training.blend import fit_blend
from scripts.training.corpus import Example, load_examples
from scripts.training.detectors import fit_detectors
from scripts.training.folds import FOLDS, fold_of
from scripts.training.gop_table import fit_gop_table
from scripts.training.heads import PENALTIES, FittedHead, fit_head
from scripts.training.hearing import NOISE_SNR_DB, FoldTask, HeardLine, hear_fold
from scripts.training.mismatches import make_mismatches
from scripts.training.priors import duration_norms, log_priors
from scripts.training.processes import one_core_each
from scripts.training.pseudo import PSEUDO_LINE_WEIGHT, line_goals
from scripts.training.refinement import fit_refinement, write_refinement

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A mark that most of the experts gave in full.
MARKED_RIGHT: Final = 1.8


def main(
    data: Annotated[Path, typer.Option(help="folder with labels.jsonl and audio/")] = DEFAULT_DATA,
    cache: Annotated[Path, typer.Option(help="the cache of train_scorer.py")] = DEFAULT_CACHE,
    processes: Annotated[int, typer.Option(help="for what is not in the cache")] = 2,
    output: Annotated[Path, typer.Option(help="where the numbers go")] = CALIBRATION_PATH,
) -> None:
    """Fit all that is no network; print and keep the held-out report."""
    examples = load_examples(data, cache, processes=processes)
    folds = fold_of(example.line.speaker for example in examples)
    by_name = {example.line.name: example for example in examples}
    norms, priors = duration_norms(examples), log_priors(examples)
    mismatches = make_mismatches(examples)
    tasks = []
    for fold in range(FOLDS):
        own = [replace(e, mels=()) for e in examples if folds[e.line.speaker] == fold]
        faults = [one for one in mismatches if folds[one.line.speaker] == fold]
        table = fit_gop_table([e for e in examples if folds[e.line.speaker] != fold])
        # In halves, so that no process waits for long for the last.
        tasks += [
            FoldTask(
                fold=fold,
                network=network_folder(cache, fold),
                examples=tuple(own[half::2]),
                mismatches=tuple(faults[half::2]),
                data=data,
                norms=norms,
                priors=priors,
                gop_table=table,
            )
            for half in range(2)
        ]
    parts = []
    with one_core_each(processes) as pool:
        for done, part in enumerate(pool.map(hear_fold, tasks), start=1):
            parts.append(part)
            print(f"heard {done} of {len(tasks)} parts", flush=True)
    heard = [line for part in parts for line in part.lines]
    in_noise = [line for part in parts for line in part.in_noise]
    not_said = [one for part in parts for one in part.mismatches]
    examples = [by_name[one.line.name] for one in heard]
    print(f"{len(heard)} lines heard, {len(in_noise)} in noise too")
    refinement, refined = fit_refinement([*heard, *in_noise])
    refined, refined_in_noise = refined[: len(heard)], refined[len(heard) :]
    provenance = {
        "made": datetime.now(UTC).date().isoformat(),
        "data": ATTRIBUTION,
        "license": "GPL-3.0-or-later",
        "numpy": np.__version__,
        "lines": len(heard),
    }
    write_refinement(refinement, output.with_name(REFINEMENT_PATH.name), provenance)
    heads: dict[str, dict[str, FittedHead]] = {}
    levels: dict[str, dict[str, Pairs]] = {}
    blends = {}
    fold_of_line = np.array([one.fold for one in heard])
    moved = {"word": _moved_words(heard, refined, in_noise, refined_in_noise)}
    omission, wrong, found = {}, {}, {}
    for scorer in FEATURES:
        omission[scorer], wrong[scorer], found[scorer] = fit_detectors(scorer, heard, not_said)
        heads[scorer], scores = _fit_scorer(scorer, examples, [*heard, *in_noise], folds)
        held_out = {name: by_line[: len(heard)] for name, by_line in scores.items()}
        blends[scorer], held_out["total"] = fit_blend(held_out, heard, fold_of_line)
        if scorer == "network":
            clean = _rows_of(in_noise, heard)
            for name, by_line in scores.items():
                moved[name] = _shift(by_line[clean], by_line[len(heard) :])
        phones, words = _scored(scorer, heard, refined)
        levels[scorer] = _pairs(heard, phones, words, held_out)
    raw = [one.by["network"] for one in heard]
    unrefined = _pairs(heard, [one.phones for one in raw], [one.words for one in raw], {})
    report = {
        "about": (
            "held-out speakers: each line by the network of its fold, alone, profile accurate, "
            "and by trees and heads fitted on the other folds; the shipped core averages all "
            "networks and fits on all lines"
        ),
        "network_unrefined": _told(unrefined),
        **{scorer: _told(levels[scorer]) for scorer in levels},
        "network_by_age": {
            name: {
                level: _in_their_range(own.between(youngest, oldest))
                for level, own in levels["network"].items()
            }
            for name, youngest, oldest in AGES
        },
        "network_said_instead": _told_instead(heard, refined),
        "network_in_noise": {
            "snr_db": NOISE_SNR_DB,
            "lines": len(in_noise),
            **moved,
        },
        "detectors": found,
    }
    stored = {
        "provenance": {**provenance, "held_out": report},
        "heads": {
            scorer: {name: head.as_dict() for name, head in heads[scorer].items()}
            for scorer in heads
        },
        "blend": blends["network"],
        "gop": np.round(fit_gop_table(examples), 4).tolist(),
        "durations": {
            "mean": np.round(norms.mean, 4).tolist(),
            "deviation": np.round(norms.deviation, 4).tolist(),
        },
        "log_priors": np.round(priors, 4).tolist(),
        "omission": omission,
        "wrong_text": wrong,
    }
    output.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def _fit_scorer(
    scorer: str, examples: Sequence[Example], lines: Sequence[HeardLine], folds: dict[str, int]
) -> tuple[dict[str, FittedHead], dict[str, NDArray[np.float64]]]:
    """Fit a scorer's heads on all lines, and by fold for the report.

    Parameters
    ----------
    lines : those of `examples` in their order; after them some may come a second time, in noise.

    Returns
    -------
    The heads; and the held-out scores of each line, 0–100.
    """
    names = FEATURES[scorer]
    row = {example.line.name: number for number, example in enumerate(examples)}
    rows = [row[one.line.name] for one in lines]
    x = np.stack([one.by[scorer].features for one in lines])
    fold = np.array([one.fold for one in lines])
    known = np.array([one.line.scores is not None for one in lines])
    judged = np.flatnonzero(known[: len(examples)])
    weights = np.where(known, 1.0, PSEUDO_LINE_WEIGHT)
    held_out = {}
    heads = {}
    # Goals of lines without labels follow from labels of the same folds alone.
    goals_by_fold = [
        line_goals(examples, [folds[e.line.speaker] != out for e in examples])[rows]
        for out in range(FOLDS)
    ]
    goals = line_goals(examples, [True] * len(examples))[rows]
    for column, name in enumerate(HEADS):
        truth = np.array([e.line.scores[name] for e in examples if e.line.scores is not None])
        best: tuple[float, float] = (-1.0, 0.0)
        for penalty in PENALTIES:
            found = np.zeros(len(lines))
            for out in range(FOLDS):
                train, test = fold != out, fold == out
                head = fit_head(
                    x[train], goals_by_fold[out][train, column], weights[train], names, penalty
                )
                found[test] = head.predict(x[test])
            pcc = float(np.corrcoef(found[judged], truth)[0, 1])
            if pcc > best[0]:
                best, held_out[name] = (pcc, penalty), found
        heads[name] = fit_head(x, goals[:, column], weights, names, best[1])
        print(f"{scorer} {name}: penalty {best[1]}, {best[0]:.4f}")
    return heads, held_out


def _told_instead(
    heard: Sequence[HeardLine], refined: Sequence[NDArray[np.float64]]
) -> dict[str, float]:
    """Return how often it is told which phone was said instead, and what experts gave those."""
    marks = np.concatenate([np.concatenate(one.line.phone_scores) for one in heard])
    told = np.array(
        [
            said_instead(evidence, PHONES[phone], PHONE_TO_PERCENT * float(score)) is not None
            for one, scores in zip(heard, refined, strict=True)
            for evidence, phone, score in zip(
                one.evidence, one.by["network"].rows.phones, scores, strict=True
            )
        ]
    )
    return {
        "told": int(told.sum()),
        "mean_mark": round(float(marks[told].mean()), 2),
        "marked_right": round(float((marks[told] >= MARKED_RIGHT).mean()), 3),
        "found_of_wrong": round(float(told[marks < 1.0].mean()), 3),
    }


def _rows_of(in_noise: Sequence[HeardLine], heard: Sequence[HeardLine]) -> list[int]:
    """Return where among the lines each that was heard in noise too stands."""
    rows = {one.line.name: row for row, one in enumerate(heard)}
    return [rows[one.line.name] for one in in_noise]


def _moved_words(
    heard: Sequence[HeardLine],
    refined: Sequence[NDArray[np.float64]],
    in_noise: Sequence[HeardLine],
    refined_in_noise: Sequence[NDArray[np.float64]],
) -> dict[str, float]:
    """Return by how much noise moves the scores of words, as `_shift` tells it."""
    rows = _rows_of(in_noise, heard)
    before = _words([heard[row] for row in rows], [refined[row] for row in rows])
    after = _words(in_noise, refined_in_noise)
    return _shift(
        PHONE_TO_PERCENT * np.concatenate(before), PHONE_TO_PERCENT * np.concatenate(after)
    )


def _shift(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, float]:
    """Return by how much scores move, of 100, and what share of them by more than 5."""
    by = after - before
    return {
        "mean": round(float(by.mean()), 2),
        "mean_size": round(float(np.abs(by).mean()), 2),
        "more_than_5": round(float((np.abs(by) > 5.0).mean()), 3),
    }


def _scored(
    scorer: str, heard: Sequence[HeardLine], refined: Sequence[NDArray[np.float64]]
) -> tuple[Sequence[NDArray[np.float64]], Sequence[NDArray[np.float64]]]:
    """Return the phones' and the words' held-out scores of each line, 0–2."""
    if scorer == "network":
        return refined, _words(heard, refined)
    by_gop = [one.by[scorer] for one in heard]
    return [one.phones for one in by_gop], [one.words for one in by_gop]


def _words(
    heard: Sequence[HeardLine], refined: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Return the words' scores that go with refined phones, 0–2."""
    raw = [one.by["network"] for one in heard]
    return [
        refined_words(one.rows, phones, one.words) for one, phones in zip(raw, refined, strict=True)
    ]


def _pairs(
    heard: Sequence[HeardLine],
    phone_scores: Sequence[NDArray[np.float64]],
    word_scores: Sequence[NDArray[np.float64]],
    line_scores: dict[str, Any],
) -> dict[str, Pairs]:
    phones, words = [], []
    for one, scores, own in zip(heard, phone_scores, word_scores, strict=True):
        who = (one.line.speaker, one.line.age)
        truth = [score for word in one.line.phone_scores for score in word]
        phones += [(min(max(s, 0.0), 2.0), t, *who) for s, t in zip(scores, truth, strict=True)]
        if one.line.word_scores is not None:
            words += [
                (min(max(5.0 * s, 0.0), 10.0), t, *who)
                for s, t in zip(own, one.line.word_scores, strict=True)
            ]
    levels = {"phone": Pairs.of(phones), "word": Pairs.of(words)}
    for name, found in line_scores.items():
        rows = [
            (score / 10.0, one.line.scores[name], one.line.speaker, one.line.age)
            for score, one in zip(found, heard, strict=True)
            if one.line.scores is not None
        ]
        levels[name] = Pairs.of(rows)
    return levels


def _in_their_range(pairs: Pairs) -> dict[str, float]:
    """Return the agreement beside the spread of the marks, without which it cannot be read."""
    return {
        "n": len(pairs.ours),
        "pcc": round(pearson(pairs.ours, pairs.theirs), 4),
        "mse": round(float(np.mean((pairs.ours - pairs.theirs) ** 2)), 4),
        "marks_deviation": round(float(pairs.theirs.std()), 4),
    }


def _told(levels: dict[str, Pairs]) -> dict[str, Any]:
    return {level: agreement(pairs).as_dict() for level, pairs in levels.items()}


if __name__ == "__main__":
    typer.run(main)
