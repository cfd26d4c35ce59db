"""Fitting one network on some speakers, and hearing how it does on the others."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from scripts.training.batches import IGNORED, PLAIN, Batch, batches
from scripts.training.corpus import Example
from scripts.training.model import PhoneScorer
from scripts.training.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit(examples: list[Example], recipe: Recipe, *, seed: int, say: str = "") -> PhoneScorer:
    """Train a network; return the moving average of its weights.

    The loss is the cross-entropy of the frames to their aligned phones, each weighted by how
    well the experts found it said, plus the squared error of the phone scores.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = PhoneScorer(recipe.dropout)
    average: PhoneScorer = copy.deepcopy(network)
    average.eval()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.peak_rate, weight_decay=recipe.decay, betas=(0.9, 0.98)
    )
    total = recipe.epochs * sum(1 for _ in batches(examples, PLAIN, None))
    step = 0
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        sums = np.zeros(5)
        network.train()
        for batch in batches(examples, recipe.change, rng):
            rate = recipe.peak_rate * _schedule(step / total)
            for group in optimiser.param_groups:
                group["lr"] = rate
            frame_loss, score_loss, word_loss, line_loss = _losses(network, batch)
            loss = (
                frame_loss
                + recipe.score_weight * score_loss
                + recipe.word_weight * word_loss
                + recipe.line_weight * line_loss
            )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimiser.step()
            step += 1
            _blend(average, network, min(recipe.averaging, step / (step + 10)))
            sums += (
                frame_loss.item(), score_loss.item(), word_loss.item(), line_loss.item(), 1,
            )  # fmt: skip
        print(
            f"{say} epoch {epoch + 1}/{recipe.epochs}: frames, phones, words, line "
            f"{np.round(sums[:4] / sums[4], 4)}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    average.eval()
    return average


def _schedule(done: float) -> float:
    warm = 0.1
    if done < warm:
        return 0.05 + 0.95 * done / warm
    return 0.5 * (1.0 + math.cos(math.pi * (done - warm) / (1.0 - warm))) + 1e-3


def _losses(network: PhoneScorer, batch: Batch) -> tuple[torch.Tensor, ...]:
    posteriors, scores, words, line = _run(network, batch)
    frames = functional.nll_loss(
        posteriors.transpose(1, 2), batch.frame_classes, ignore_index=IGNORED, reduction="none"
    )
    return (
        (frames * batch.frame_weights).sum() / batch.frame_weights.sum(),
        _squared(scores, batch.targets, batch.mask),
        _squared(words, batch.word_targets, batch.word_mask),
        _squared(line, batch.line_targets, batch.line_mask),
    )


def _run(network: PhoneScorer, batch: Batch) -> tuple[torch.Tensor, ...]:
    return network(  # type: ignore[no-any-return]
        batch.mel, batch.phones, batch.pool, batch.extras, batch.members, batch.counts
    )


def _squared(found: torch.Tensor, wanted: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return ((found - wanted) ** 2 * mask).sum() / mask.sum().clamp(min=1.0)


def _blend(average: PhoneScorer, network: PhoneScorer, keep: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.mul_(keep).add_(new, alpha=1.0 - keep)


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's scores of one example, all on 0–2."""

    phones: NDArray[np.float32]
    words: NDArray[np.float32]
    line: NDArray[np.float32]


def predict(network: PhoneScorer, examples: list[Example]) -> list[Prediction]:
    """Return what the network makes of each example as it is."""
    network.eval()
    found: dict[int, Prediction] = {}
    for batch in batches(examples, PLAIN, None):
        with torch.no_grad():
            _, scores, words, line = _run(network, batch)
        for row, index in enumerate(batch.examples):
            count = int(batch.counts[row])
            own = int(examples[index].words[-1]) + 1
            found[index] = Prediction(
                scores[row, :count].numpy(), words[row, :own].numpy(), line[row].numpy()
            )
    return [found[index] for index in range(len(examples))]
