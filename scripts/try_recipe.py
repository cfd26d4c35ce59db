"""Try a change of the training recipe: train without some folds, and tell how those fare.

Names are those of `scripts.training.recipe.Recipe` and, after `change.`, of `Augmentation`:
`python scripts/try_recipe.py --folds 4,2 line_weight=2.5 change.warp=0`. One training is chance in
good part: compare several seeds. Needs the extra `train` and the cache of train_scorer.py, or
makes that.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.train_scorer import DEFAULT_CACHE, DEFAULT_DATA, RECIPE
from scripts.training.corpus import UTTERANCE_LABELS, load_examples
from scripts.training.folds import FOLDS
from scripts.training.processes import one_core_each
from scripts.training.recipe import Recipe

SCORES: Final = ("phone", "word", *UTTERANCE_LABELS)


def main(
    changes: Annotated[
        list[str] | None, typer.Argument(help="NAME=VALUE of the recipe; none tries it as it is")
    ] = None,
    *,
    folds: Annotated[str, typer.Option(help="whose speakers are kept out, in turn")] = "4,2",
    seeds: Annotated[str, typer.Option(help="trainings of each fold")] = "1",
    data: Annotated[Path, typer.Option(help="folder with labels.jsonl and audio/")] = DEFAULT_DATA,
    cache: Annotated[Path, typer.Option(help="the cache of train_scorer.py")] = DEFAULT_CACHE,
    processes: Annotated[int, typer.Option(help="trainings at once, one core each")] = 2,
) -> None:
    """Print a row for each training; nothing of it is kept."""
    try:
        recipe = RECIPE.with_changes(changes or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    tasks = [
        (data, cache, recipe, fold, seed)
        for fold in _numbers("--folds", folds, FOLDS)
        for seed in _numbers("--seeds", seeds)
    ]
    load_examples(data, cache, processes=processes)
    table = Table("fold", "seed", *SCORES, title=" ".join(changes or ["the recipe as it is"]))
    with one_core_each(processes) as pool:
        for (*_, fold, seed), found in zip(tasks, pool.map(_try, tasks), strict=True):
            table.add_row(str(fold), str(seed), *(f"{found[f'{one}_pcc']:.3f}" for one in SCORES))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _numbers(option: str, text: str, below: int | None = None) -> list[int]:
    try:
        found = [int(one) for one in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r}: give numbers, as in 4,2.") from None
    wrong = [one for one in found if one < 0 or (below is not None and one >= below)]
    if wrong:
        most = f" to {below - 1}" if below is not None else " and up"
        raise typer.BadParameter(f"{option} {text!r}: {wrong[0]} is not within 0{most}.")
    return found


def _try(task: tuple[Path, Path, Recipe, int, int]) -> dict[str, Any]:
    import torch

    from scripts.training.fold_network import FoldNetwork

    data, cache, recipe, fold, seed = task
    torch.set_num_threads(1)
    examples = load_examples(data, cache)
    with tempfile.TemporaryDirectory() as folder:
        network = FoldNetwork(Path(folder), fold)
        network.train(examples, recipe, seed=seed)
        return network.report(examples)


if __name__ == "__main__":
    typer.run(main)
