"""Train the phone network: one for each fold of speakers, shipped side by side.

Each network learns from four fifths of the speakers and is tested on the rest, who never met
it; what is shipped is the average of all of them. Run `scripts/calibrate.py` afterwards.
Needs the extra `train`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.network import LISTENER_FILE, NETWORK_FOLDER, SCORER_FILE
from scripts.training.corpus import CACHE_VERSION, load_examples
from scripts.training.folds import FOLDS
from scripts.training.processes import one_core_each
from scripts.training.recipe import Recipe

DEFAULT_DATA: Final = Path("../shared/data/so762-train")
DEFAULT_CACHE: Final = Path(".cache/train")
REPORT_PATH: Final = NETWORK_FOLDER / "training_report.json"
RECIPE: Final = Recipe(epochs=18)
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
    return cache / f"networks-v{CACHE_VERSION}-{RECIPE.key}" / f"fold-{fold}"


def _train_fold(task: tuple[Path, Path, int, int]) -> dict[str, Any]:
    """Train a fold's network where that is not done, and test it on the fold's speakers."""
    import torch

    from scripts.training.fold_network import FoldNetwork

    data, cache, fold, threads = task
    examples = load_examples(data, cache)
    network = FoldNetwork(network_folder(cache, fold), fold)
    if not network.is_trained:
        torch.set_num_threads(threads)
        network.train(examples, RECIPE, seed=fold)
    return network.report(examples)


def _ship(cache: Path, output: Path, reports: list[dict[str, Any]]) -> None:
    import torch

    from scripts.training.export import export
    from scripts.training.fold_network import FoldNetwork

    networks = [FoldNetwork(network_folder(cache, fold), fold).load() for fold in range(FOLDS)]
    made = datetime.now(UTC).date().isoformat()
    recipe = asdict(RECIPE)
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
            for key in reports[0]
            if key.endswith("_pcc")
        },
        "folds": reports,
    }
    REPORT_PATH.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    size = sum((output / name).stat().st_size for name in (LISTENER_FILE, SCORER_FILE))
    print(f"{output}: {size / 1e6:.2f} MB; {report['mean']}")


if __name__ == "__main__":
    typer.run(main)
