"""Train the phone network: one for each fold of speakers, shipped side by side in one file.

Each network learns from four fifths of the speakers and is tested on the rest, who never met
it; what is shipped is the average of all of them. Run `scripts/calibrate.py` afterwards.
Needs the extra `train`.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.network import NETWORK_PATH
from scripts.training.corpus import Example, load_examples
from scripts.training.folds import FOLDS, fold_of

if TYPE_CHECKING:
    from scripts.training.model import PhoneScorer

DEFAULT_DATA: Final = Path("../shared/data/so762-train")
DEFAULT_CACHE: Final = Path(".cache/train")
REPORT_PATH: Final = NETWORK_PATH.with_name("training_report.json")
# Placed anew by the listeners, seconds of every phone of the corpus.
REALIGNED: Final = "realigned.npz"
LISTENERS: Final = (0, 1)


@dataclass(frozen=True)
class Stage:
    """How long a network is trained, and how fast at most."""

    epochs: int
    peak_rate: float


LISTENER: Final = Stage(12, 3e-3)
GO_ON: Final = Stage(4, 1e-3)
AFRESH: Final = Stage(9, 3e-3)
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
    """Align, featurise and train, keeping in CACHE whatever is done.

    PocketSphinx places the corpus for two first networks; what they hear places it anew, and
    on that all networks are trained, the first two from where they are.
    """
    examples = load_examples(data, cache, processes=processes)
    print(f"{len(examples)} lines of {len({e.line.speaker for e in examples})} speakers")
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(_train_listener, [(data, cache, fold) for fold in LISTENERS]))
        list(pool.map(_realign, [(data, cache)]))
        reports = list(pool.map(_train_fold, [(data, cache, fold) for fold in range(FOLDS)]))
    _ship(cache, output, reports)


def network_path(cache: Path, fold: int, suffix: str) -> Path:
    """Return where a fold's network is kept."""
    return cache / f"fold-{fold}{suffix}"


def _listener_path(cache: Path, fold: int, suffix: str) -> Path:
    return cache / f"listener-{fold}{suffix}"


def _train_listener(task: tuple[Path, Path, int]) -> None:
    """Train a first network on PocketSphinx's alignment of the other folds' speakers."""
    data, cache, fold = task
    path = _listener_path(cache, fold, ".pt")
    if not path.exists():
        others = _without(load_examples(data, cache), fold)
        _trained(others, LISTENER, fold, path, say=f"listener {fold}")
    _export_one(path, _listener_path(cache, fold, ".onnx"), f"listener {fold}")


def _realign(task: tuple[Path, Path]) -> None:
    from analysis.network import PhoneNetwork
    from scripts.training.realignment import realigned

    data, cache = task
    listeners = [PhoneNetwork(_listener_path(cache, fold, ".onnx")) for fold in LISTENERS]
    realigned(load_examples(data, cache), listeners, cache / REALIGNED)


def _train_fold(task: tuple[Path, Path, int]) -> dict[str, Any]:
    """Train a fold's network, and test it on the fold's speakers, whom it places itself."""
    from analysis.network import PhoneNetwork
    from scripts.training.fitting import predict
    from scripts.training.priors import log_priors
    from scripts.training.realignment import place, realigned

    data, cache, fold = task
    examples = load_examples(data, cache)
    path = network_path(cache, fold, ".pt")
    if not path.exists():
        timed = _without(realigned(examples, [], cache / REALIGNED), fold)
        if fold in LISTENERS:
            start = _load(_listener_path(cache, fold, ".pt"))
            _trained(timed, GO_ON, fold, path, start=start, say=f"fold {fold}")
        else:
            _trained(timed, AFRESH, fold, path, say=f"fold {fold}")
    _export_one(path, network_path(cache, fold, ".onnx"), f"fold {fold}")
    network = PhoneNetwork(network_path(cache, fold, ".onnx"))
    folds = fold_of(example.line.speaker for example in examples)
    priors = log_priors(realigned(examples, [], cache / REALIGNED))
    held_out = []
    for example in examples:
        if folds[example.line.speaker] == fold:
            spans = place(example.mels[0].astype(np.float32), example, [network], priors)
            held_out.append(example if spans is None else replace(example, spans=spans))
    return {"fold": fold, **_agreement(held_out, predict(_load(path), held_out))}


def _without(examples: list[Example], fold: int) -> list[Example]:
    folds = fold_of(example.line.speaker for example in examples)
    return [example for example in examples if folds[example.line.speaker] != fold]


def _trained(
    examples: list[Example],
    stage: Stage,
    seed: int,
    path: Path,
    *,
    start: PhoneScorer | None = None,
    say: str,
) -> None:
    import torch

    from scripts.training.fitting import Recipe, fit
    from scripts.training.pseudo import with_targets

    torch.set_num_threads(1)
    recipe = Recipe(epochs=stage.epochs, peak_rate=stage.peak_rate)
    network = fit(with_targets(examples), recipe, seed=seed, start=start, say=say)
    torch.save(network.state_dict(), path)


def _load(path: Path) -> PhoneScorer:
    import torch

    from scripts.training.model import PhoneScorer

    network = PhoneScorer()
    network.load_state_dict(torch.load(path, weights_only=True))
    network.eval()
    return network


def _export_one(stored: Path, path: Path, version: str) -> None:
    from scripts.training.export import export

    export([_load(stored)], path, {"version": version})


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

    networks = [_load(network_path(cache, fold, ".pt")) for fold in range(FOLDS)]
    made = datetime.now(UTC).date().isoformat()
    stages = {
        name: asdict(stage)
        for name, stage in (("listener", LISTENER), ("go_on", GO_ON), ("afresh", AFRESH))
    }
    provenance = {
        "version": made,
        "data": ATTRIBUTION,
        "license": "GPL-3.0-or-later",
        "torch": torch.__version__,
        "recipe": json.dumps({**asdict(Recipe()), **stages}, sort_keys=True),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    export(networks, output, provenance)
    report = {
        **provenance,
        "recipe": {**asdict(Recipe()), **stages},
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
