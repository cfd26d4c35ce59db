"""Train the phone network: one for each fold of speakers, shipped side by side.

Each network learns from four fifths of the speakers and is tested on the rest, who never met
it; what is shipped is the average of all of them. Run `scripts/calibrate.py` afterwards.
Needs the extra `train`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.network import LISTENER_FILE, NETWORK_FOLDER, SCORER_FILE, PhoneNetwork
from analysis.segments import path_seconds, pronunciations
from analysis.trellis import best_path, log_evidence
from scripts.training.corpus import CACHE_VERSION, Example, load_examples
from scripts.training.folds import FOLDS, fold_of
from scripts.training.priors import log_priors
from scripts.training.processes import one_core_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.model import PhoneScorer

DEFAULT_DATA: Final = Path("../shared/data/so762-train")
DEFAULT_CACHE: Final = Path(".cache/train")
REPORT_PATH: Final = NETWORK_FOLDER / "training_report.json"
EPOCHS: Final = 18
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
    """Align, featurise and train, keeping in CACHE whatever is done."""
    examples = load_examples(data, cache, processes=processes)
    print(f"{len(examples)} lines of {len({e.line.speaker for e in examples})} speakers")
    with one_core_each(processes) as pool:
        # A last fold that is trained alone has all cores.
        alone = FOLDS - 1 if FOLDS % processes == 1 else None
        tasks = [(data, cache, fold, processes if fold == alone else 1) for fold in range(FOLDS)]
        reports = list(pool.map(_train_fold, tasks))
    _ship(cache, output, reports)


def network_folder(cache: Path, fold: int) -> Path:
    """Return where a fold's network is kept as the core reads it."""
    return cache / f"networks-v{CACHE_VERSION}-{EPOCHS}-epochs" / f"fold-{fold}"


def _train_fold(task: tuple[Path, Path, int, int]) -> dict[str, Any]:
    """Train a fold's network, and test it on the fold's speakers, whom it places itself."""
    import torch

    from scripts.training.export import export
    from scripts.training.fitting import Recipe, fit, predict
    from scripts.training.pseudo import with_targets

    data, cache, fold, threads = task
    examples = load_examples(data, cache)
    folder = network_folder(cache, fold)
    folds = fold_of(example.line.speaker for example in examples)
    if not _weights(folder).exists():
        torch.set_num_threads(threads)
        others = [example for example in examples if folds[example.line.speaker] != fold]
        trained = fit(with_targets(others), Recipe(epochs=EPOCHS), seed=fold, say=f"fold {fold}")
        export([trained], folder, {"version": f"fold {fold}"})
        torch.save(trained.state_dict(), _weights(folder))
    network, priors = PhoneNetwork(folder), log_priors(examples)
    held_out = []
    for example in examples:
        if folds[example.line.speaker] == fold:
            spans = _spans(example, network, priors)
            held_out.append(example if spans is None else replace(example, spans=spans))
    return {"fold": fold, **_agreement(held_out, predict(_load(folder), held_out))}


def _spans(
    example: Example, network: PhoneNetwork, priors: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Return where a network places a line; None when there is less sound than text."""
    heard = network.listen(example.mels[0].astype(np.float32))
    text = pronunciations(example.phones, example.words)
    path = best_path(log_evidence(heard.posteriors, priors), text)
    return None if path is None else path_seconds(path.spans)


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
    recipe = asdict(Recipe(epochs=EPOCHS))
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
