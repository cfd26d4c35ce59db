"""Train the phone network: one for each fold of speakers, shipped side by side in one file.

Each network learns from four fifths of the speakers and is tested on the rest, who never met
it; what is shipped is the average of all of them. Run `scripts/calibrate.py` afterwards.
Needs the extra `train`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.network import NETWORK_PATH
from scripts.training.corpus import Example, load_examples
from scripts.training.folds import FOLDS, fold_of

DEFAULT_DATA: Final = Path("../shared/data/so762-train")
DEFAULT_CACHE: Final = Path(".cache/train")
REPORT_PATH: Final = NETWORK_PATH.with_name("training_report.json")
ATTRIBUTION: Final = (
    "speechocean762, training half (Zhang et al., 2021, speechocean762: An Open-Source "
    "Non-native English Speech Corpus For Pronunciation Assessment), CC BY 4.0"
)


def main(
    data: Annotated[Path, typer.Option(help="folder with labels.jsonl and audio/")] = DEFAULT_DATA,
    cache: Annotated[
        Path, typer.Option(help="alignments, features, fold networks")
    ] = DEFAULT_CACHE,
    processes: Annotated[int, typer.Option(help="folds trained at once, one core each")] = 2,
    output: Annotated[Path, typer.Option(help="where the network goes")] = NETWORK_PATH,
) -> None:
    """Align, featurise and train, keeping in CACHE whatever is done."""
    examples = load_examples(data, cache, processes=processes)
    print(f"{len(examples)} lines of {len({e.line.speaker for e in examples})} speakers")
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        reports = list(pool.map(_train_fold, [(data, cache, fold) for fold in range(FOLDS)]))
    _ship(cache, output, reports)


def network_path(cache: Path, fold: int, suffix: str) -> Path:
    """Return where a fold's network is kept; another recipe has another name."""
    return cache / f"fold-{fold}-{_recipe_digest()}{suffix}"


def _recipe_digest() -> str:
    from scripts.training.fitting import Recipe

    described = json.dumps(asdict(Recipe()), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:10]


def _train_fold(task: tuple[Path, Path, int]) -> dict[str, Any]:
    import torch

    from scripts.training.export import export
    from scripts.training.fitting import Recipe, fit, predict
    from scripts.training.model import PhoneScorer
    from scripts.training.pseudo import with_targets

    data, cache, fold = task
    torch.set_num_threads(1)
    examples = load_examples(data, cache)
    folds = fold_of(example.line.speaker for example in examples)
    held_out = [example for example in examples if folds[example.line.speaker] == fold]
    path = network_path(cache, fold, ".pt")
    if path.exists():
        network = PhoneScorer()
        network.load_state_dict(torch.load(path, weights_only=True))
        network.eval()
    else:
        others = [example for example in examples if folds[example.line.speaker] != fold]
        network = fit(with_targets(others), Recipe(), seed=fold, say=f"fold {fold}")
        torch.save(network.state_dict(), path)
    export([network], network_path(cache, fold, ".onnx"), {"version": f"fold {fold}"})
    return {"fold": fold, **_agreement(held_out, predict(network, held_out))}


def _agreement(examples: list[Example], predictions: list[Any]) -> dict[str, Any]:
    from scripts.training.agreement import pearson

    judged = [
        (example, found)
        for example, found in zip(examples, predictions, strict=True)
        if example.line.word_scores is not None
    ]
    phones = np.concatenate([found.phones for found in predictions])
    wanted = np.concatenate([example.targets for example in examples])
    words = np.concatenate([found.words for _, found in judged])
    return {
        "speakers": sorted({example.line.speaker for example in examples}),
        "lines": len(examples),
        "phones": len(phones),
        "phone_pcc": round(pearson(phones, wanted), 4),
        "phone_mse": round(float(np.mean((np.clip(phones, 0, 2) - wanted) ** 2)), 4),
        "judged_words": len(words),
        "word_pcc": round(
            pearson(words, np.concatenate([e.line.word_scores or () for e, _ in judged])), 4
        ),
    }


def _ship(cache: Path, output: Path, reports: list[dict[str, Any]]) -> None:
    import torch

    from scripts.training.export import export
    from scripts.training.fitting import Recipe
    from scripts.training.model import PhoneScorer

    networks = []
    for fold in range(FOLDS):
        network = PhoneScorer()
        network.load_state_dict(torch.load(network_path(cache, fold, ".pt"), weights_only=True))
        networks.append(network.eval())
    made = datetime.now(UTC).date().isoformat()
    provenance = {
        "version": made,
        "data": ATTRIBUTION,
        "license": "GPL-3.0-or-later",
        "torch": torch.__version__,
        "recipe": json.dumps(asdict(Recipe()), sort_keys=True),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    export(networks, output, provenance)
    report = {
        **provenance,
        "recipe": asdict(Recipe()),
        "about": "each fold: one network, tested on speakers it never met; shipped: all averaged",
        "mean": {
            key: round(float(np.mean([row[key] for row in reports])), 4)
            for key in ("phone_pcc", "word_pcc")
        },
        "folds": reports,
    }
    REPORT_PATH.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB; {report['mean']}")


if __name__ == "__main__":
    typer.run(main)
