"""Train the phone network: one for each fold of speakers, shipped side by side.

Each network learns from four fifths of the speakers and is tested on the rest, who never met
it; what is shipped is the average of all of them. Run `scripts/calibrate.py` afterwards.
Needs the extra `train`.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.network import LISTENER_FILE, NETWORK_FOLDER, SCORER_FILE
from scripts.training.corpus import Example, load_examples
from scripts.training.folds import FOLDS, fold_of

if TYPE_CHECKING:
    from scripts.training.model import PhoneScorer

DEFAULT_DATA: Final = Path("../shared/data/so762-train")
DEFAULT_CACHE: Final = Path(".cache/train")
REPORT_PATH: Final = NETWORK_FOLDER / "training_report.json"
# Placed anew by the listeners, seconds of every phone of the corpus.
REALIGNED: Final = "realigned.npz"
# Networks that only place the corpus: they learn from every second line.
LISTENERS: Final = (0, 1)
LISTENER_STRIDE: Final = 2
LISTENER_EPOCHS: Final = 8
EPOCHS: Final = 14
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
    output: Annotated[Path, typer.Option(help="folder for the network")] = NETWORK_FOLDER,
) -> None:
    """Align, featurise and train, keeping in CACHE whatever is done.

    PocketSphinx places the corpus for two first networks; what they hear places it anew, and
    on that the networks are trained that are shipped.
    """
    examples = load_examples(data, cache, processes=processes)
    print(f"{len(examples)} lines of {len({e.line.speaker for e in examples})} speakers")
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(_train_listener, [(data, cache, fold) for fold in LISTENERS]))
        list(pool.map(_realign, [(data, cache)]))
        # A last fold that is trained alone has all cores.
        alone = FOLDS - 1 if FOLDS % processes == 1 else None
        tasks = [(data, cache, fold, processes if fold == alone else 1) for fold in range(FOLDS)]
        reports = list(pool.map(_train_fold, tasks))
    _ship(cache, output, reports)


def network_folder(cache: Path, fold: int) -> Path:
    """Return where a fold's network is kept as the core reads it."""
    return cache / f"fold-{fold}"


def _listener_folder(cache: Path, fold: int) -> Path:
    return cache / f"listener-{fold}"


def _train_listener(task: tuple[Path, Path, int]) -> None:
    """Train a first network on PocketSphinx's alignment of the other folds' speakers."""
    data, cache, fold = task
    folder = _listener_folder(cache, fold)
    if not _weights(folder).exists():
        others = _without(load_examples(data, cache), fold)[::LISTENER_STRIDE]
        _trained(others, folder, epochs=LISTENER_EPOCHS, seed=fold, say=f"listener {fold}")


def _realign(task: tuple[Path, Path]) -> None:
    from analysis.network import PhoneNetwork
    from scripts.training.realignment import realigned

    data, cache = task
    listeners = [PhoneNetwork(_listener_folder(cache, fold)) for fold in LISTENERS]
    realigned(load_examples(data, cache), listeners, cache / REALIGNED)


def _train_fold(task: tuple[Path, Path, int, int]) -> dict[str, Any]:
    """Train a fold's network, and test it on the fold's speakers, whom it places itself."""
    from analysis.network import PhoneNetwork
    from scripts.training.fitting import predict
    from scripts.training.priors import log_priors
    from scripts.training.realignment import place, realigned

    data, cache, fold, threads = task
    examples = load_examples(data, cache)
    folder = network_folder(cache, fold)
    if not _weights(folder).exists():
        timed = _without(realigned(examples, [], cache / REALIGNED), fold)
        _trained(timed, folder, epochs=EPOCHS, seed=fold, say=f"fold {fold}", threads=threads)
    network = PhoneNetwork(folder)
    folds = fold_of(example.line.speaker for example in examples)
    priors = log_priors(realigned(examples, [], cache / REALIGNED))
    held_out = []
    for example in examples:
        if folds[example.line.speaker] == fold:
            spans = place(example.mels[0].astype(np.float32), example, [network], priors)
            held_out.append(example if spans is None else replace(example, spans=spans))
    return {"fold": fold, **_agreement(held_out, predict(_load(folder), held_out))}


def _without(examples: list[Example], fold: int) -> list[Example]:
    folds = fold_of(example.line.speaker for example in examples)
    return [example for example in examples if folds[example.line.speaker] != fold]


def _trained(
    examples: list[Example], folder: Path, *, epochs: int, seed: int, say: str, threads: int = 1
) -> None:
    """Train a network and keep it in `folder`, for torch and for the core."""
    import torch

    from scripts.training.export import export
    from scripts.training.fitting import Recipe, fit
    from scripts.training.pseudo import with_targets

    torch.set_num_threads(threads)
    network = fit(with_targets(examples), Recipe(epochs=epochs), seed=seed, say=say)
    export([network], folder, {"version": say})
    torch.save(network.state_dict(), _weights(folder))


def _weights(folder: Path) -> Path:
    return folder / "weights.pt"


def _load(folder: Path) -> PhoneScorer:
    import torch

    from scripts.training.model import PhoneScorer

    network = PhoneScorer()
    network.load_state_dict(torch.load(_weights(folder), weights_only=True))
    network.eval()
    return network


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

    networks = [_load(network_folder(cache, fold)) for fold in range(FOLDS)]
    made = datetime.now(UTC).date().isoformat()
    recipe = {
        **asdict(Recipe(epochs=EPOCHS)),
        "listener_epochs": LISTENER_EPOCHS,
        "listener_stride": LISTENER_STRIDE,
    }
    provenance = {
        "version": made,
        "data": ATTRIBUTION,
        "license": "GPL-3.0-or-later",
        "torch": torch.__version__,
        "recipe": json.dumps(recipe, sort_keys=True),
    }
    export(networks, output, provenance)
    report = {
        **provenance,
        "recipe": recipe,
        "about": "each fold: one network, tested on speakers it never met; shipped: all averaged",
        "mean": {
            key: round(float(np.mean([row[key] for row in reports])), 4)
            for key in ("phone_pcc", "word_pcc")
        },
        "folds": reports,
    }
    REPORT_PATH.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    size = sum((output / name).stat().st_size for name in (LISTENER_FILE, SCORER_FILE))
    print(f"{output}: {size / 1e6:.2f} MB; {report['mean']}")


if __name__ == "__main__":
    typer.run(main)
