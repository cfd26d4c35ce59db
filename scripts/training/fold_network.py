"""The network of one fold: trained on all other speakers, tested on the fold's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from analysis.network import PhoneNetwork
from analysis.segments import path_seconds, pronunciations
from analysis.trellis import best_path, log_evidence
from scripts.training.agreement import pearson
from scripts.training.corpus import UTTERANCE_LABELS, Example
from scripts.training.export import export
from scripts.training.fitting import Prediction, fit, predict
from scripts.training.folds import fold_of
from scripts.training.model import PhoneScorer
from scripts.training.priors import log_priors
from scripts.training.pseudo import with_targets
from scripts.training.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FoldNetwork:
    """Where the network of a fold is kept, as the core reads it and as torch does."""

    folder: Path
    fold: int

    def train(self, examples: list[Example], recipe: Recipe, *, seed: int) -> None:
        """Train it on the speakers of the other folds, and keep it."""
        _, others = self._split(examples)
        trained = fit(with_targets(others), recipe, seed=seed, say=f"fold {self.fold}")
        export([trained], self.folder, {"version": f"fold {self.fold}"})
        torch.save(trained.state_dict(), self._weights)

    @property
    def is_trained(self) -> bool:
        """Return whether it is there."""
        return self._weights.exists()

    def load(self) -> PhoneScorer:
        """Read it as torch does."""
        network = PhoneScorer()
        network.load_state_dict(torch.load(self._weights, weights_only=True))
        network.eval()
        return network

    def report(self, examples: list[Example]) -> dict[str, Any]:
        """Test it on the fold's own speakers, whose lines it places itself."""
        own, _ = self._split(examples)
        listener, priors = PhoneNetwork(self.folder), log_priors(examples)
        placed = [_placed(example, listener, priors) for example in own]
        return {"fold": self.fold, **_agreement(placed, predict(self.load(), placed))}

    def _split(self, examples: list[Example]) -> tuple[list[Example], list[Example]]:
        """Return the examples of the fold's own speakers, and those of all others."""
        folds = fold_of(example.line.speaker for example in examples)
        own: list[Example] = []
        others: list[Example] = []
        for example in examples:
            (own if folds[example.line.speaker] == self.fold else others).append(example)
        return own, others

    @property
    def _weights(self) -> Path:
        return self.folder / "weights.pt"


def _placed(example: Example, network: PhoneNetwork, priors: NDArray[np.float64]) -> Example:
    """Return a line where a network places it; as it was when there is less sound than text."""
    heard = network.listen(example.mels[0].astype(np.float32))
    text = pronunciations(example.phones, example.words)
    path = best_path(log_evidence(heard.posteriors, priors), text)
    return example if path is None else replace(example, spans=path_seconds(path.spans))


def _agreement(examples: list[Example], predictions: list[Prediction]) -> dict[str, Any]:
    judged = [
        (example, found)
        for example, found in zip(examples, predictions, strict=True)
        if example.line.word_scores is not None
    ]
    phones = np.concatenate([found.phones for found in predictions])
    wanted = np.concatenate([example.targets for example in examples])
    words = np.concatenate([found.words for _, found in judged])
    marks = np.concatenate([example.line.word_scores or () for example, _ in judged])
    scored = [(example.line.scores, found) for example, found in judged if example.line.scores]
    lines = np.stack([found.line for _, found in scored])
    return {
        "speakers": sorted({example.line.speaker for example in examples}),
        "lines": len(examples),
        "phones": len(phones),
        "phone_pcc": round(pearson(phones, wanted), 4),
        "phone_mse": round(float(np.mean((np.clip(phones, 0, 2) - wanted) ** 2)), 4),
        "judged_words": len(words),
        "word_pcc": round(pearson(words, marks), 4),
        "judged_lines": len(lines),
        **{
            f"{name}_pcc": round(
                pearson(lines[:, column], np.array([scores[name] for scores, _ in scored])), 4
            )
            for column, name in enumerate(UTTERANCE_LABELS)
        },
    }
