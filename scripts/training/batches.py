"""Batches of examples, changed a little each time so that 2,500 lines go further."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from analysis.features import BANDS
from analysis.phones import PHONES
from analysis.segments import (
    ALIGNER_LAG_S,
    EXTRAS,
    NET_FRAME_S,
    PARTS,
    Segments,
    net_frames,
)
from scripts.training.corpus import SPEEDS, Example
from scripts.training.model import LINE_SCORES
from scripts.training.recipe import Augmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES_A_BATCH: Final = 6000  # log-mel frames, padding included
IGNORED: Final = -100

PLAIN: Final = Augmentation(0.0, 0.0, 0, 0, 0, 0.0)
# What nobody said is easily told from what was said badly: it counts half.
SWAPPED_WEIGHT: Final = 0.5


@dataclass(frozen=True)
class Batch:
    """Padded tensors of some examples; `mask` (B, P) is 1 where there is a phone to score."""

    examples: tuple[int, ...]
    mel: Tensor
    phones: Tensor
    pool: Tensor
    extras: Tensor
    counts: Tensor
    targets: Tensor
    mask: Tensor
    members: Tensor
    word_targets: Tensor
    word_mask: Tensor
    line_targets: Tensor
    line_mask: Tensor
    frame_classes: Tensor
    frame_weights: Tensor


def batches(
    examples: list[Example], change: Augmentation, rng: np.random.Generator | None
) -> Iterator[Batch]:
    """Yield all examples once, alike in length within a batch; shuffled when `rng` is given."""
    lengths = np.array([len(example.mels[0]) for example in examples], dtype=float)
    if rng is not None:
        lengths *= rng.uniform(0.9, 1.1, len(lengths))
    order = np.argsort(lengths, kind="stable")
    groups: list[list[int]] = [[]]
    longest = 0
    for index in order:
        longest = max(longest, len(examples[index].mels[0]))
        if groups[-1] and longest * (len(groups[-1]) + 1) > FRAMES_A_BATCH:
            groups.append([])
            longest = len(examples[index].mels[0])
        groups[-1].append(int(index))
    if rng is not None:
        rng.shuffle(groups)
    for group in groups:
        yield _batch(group, [examples[index] for index in group], change, rng)


def _batch(
    indices: list[int],
    group: list[Example],
    change: Augmentation,
    rng: np.random.Generator | None,
) -> Batch:
    rows = [_changed(example, change, rng) for example in group]
    frames = max(len(row.mel) for row in rows)
    count = max(len(row.segments.phones) for row in rows)
    steps = net_frames(frames)
    size = len(rows)
    mel = np.zeros((size, frames, BANDS), np.float32)
    phones = np.zeros((size, count), np.int64)
    pool = np.zeros((size, PARTS * count, steps), np.float32)
    columns = np.zeros((size, count, EXTRAS), np.float32)
    targets = np.zeros((size, count), np.float32)
    mask = np.zeros((size, count), np.float32)
    word_count = max(int(row.segments.words[-1]) + 1 for row in rows)
    members = np.zeros((size, word_count, count), np.float32)
    word_targets = np.zeros((size, word_count), np.float32)
    word_mask = np.zeros((size, word_count), np.float32)
    line_targets = np.zeros((size, LINE_SCORES), np.float32)
    line_mask = np.zeros((size, LINE_SCORES), np.float32)
    classes = np.full((size, steps), IGNORED, np.int64)
    weights = np.zeros((size, steps), np.float32)
    for b, row in enumerate(rows):
        own, t = len(row.segments.phones), net_frames(len(row.mel))
        mel[b, : len(row.mel)] = row.mel
        phones[b, :own] = row.segments.phones
        pool[b, : PARTS * own, :t] = row.segments.pool(t)
        columns[b, :own] = row.segments.extras
        targets[b, :own] = row.targets
        mask[b, :own] = row.weights
        members[b, row.segments.words, np.arange(own)] = 1.0
        if row.example.word_targets is not None:
            word_targets[b, : len(row.example.word_targets)] = row.example.word_targets
            word_mask[b, : len(row.example.word_targets)] = 1.0
            word_mask[b, row.segments.words[row.weights < 1.0]] = 0.0
        if row.example.line_targets is not None and (row.weights == 1.0).all():
            line_targets[b] = row.example.line_targets
            line_mask[b] = row.example.line_weight
        classes[b, :t], weights[b, :t] = _frame_classes(row)
    tensor = torch.from_numpy
    return Batch(
        examples=tuple(indices),
        mel=tensor(mel),
        phones=tensor(phones),
        pool=tensor(pool),
        extras=tensor(columns),
        counts=torch.tensor([len(row.segments.phones) for row in rows]),
        targets=tensor(targets),
        mask=tensor(mask),
        members=tensor(members),
        word_targets=tensor(word_targets),
        word_mask=tensor(word_mask),
        line_targets=tensor(line_targets),
        line_mask=tensor(line_mask),
        frame_classes=tensor(classes),
        frame_weights=tensor(weights),
    )


@dataclass(frozen=True)
class _Row:
    example: Example
    mel: NDArray[np.float32]
    segments: Segments
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def _changed(example: Example, change: Augmentation, rng: np.random.Generator | None) -> _Row:
    variant = 0
    if rng is not None and rng.random() < change.variants:
        variant = int(rng.integers(1, len(SPEEDS)))
    mel = example.mels[variant].astype(np.float32)
    spans = example.spans / np.float32(SPEEDS[variant])
    phones, targets = example.phones, example.targets
    weights = np.ones_like(targets)
    if rng is not None:
        mel = _masked(_warped(mel, change, rng), change, rng)
        if rng.random() < change.mistaken:
            phones, targets, weights = _swapped(example, change, rng)
    rows = Segments.at(phones, spans, example.words)
    return _Row(example, mel, rows, targets, weights)


def _warped(
    mel: NDArray[np.float32], change: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Stretch the mel axis: another length of vocal tract."""
    if not change.warp:
        return mel
    source = np.arange(BANDS) * (1.0 + rng.uniform(-change.warp, change.warp))
    source = np.clip(source, 0, BANDS - 1)
    low = np.floor(source).astype(int)
    part = (source - low).astype(np.float32)
    high = np.minimum(low + 1, BANDS - 1)
    stretched: NDArray[np.float32] = mel[:, low] * (1 - part) + mel[:, high] * part
    return stretched


def _masked(
    mel: NDArray[np.float32], change: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Hide some bands and some frames (SpecAugment, Park et al. 2019)."""
    if not change.masks:
        return mel
    mel = mel.copy()
    for _ in range(change.masks):
        width = int(rng.integers(0, change.masked_bands + 1))
        start = int(rng.integers(0, BANDS - width))
        mel[:, start : start + width] = 0.0
        width = min(int(rng.integers(0, change.masked_frames + 1)), len(mel) - 1)
        start = int(rng.integers(0, len(mel) - width))
        mel[start : start + width] = 0.0
    return mel


def _swapped(
    example: Example, change: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Ask for other phones than those that were well said, and for other words: both are wrong."""
    good = example.targets >= 1.8
    words = rng.random(int(example.words[-1]) + 1) < change.swapped_words
    chosen = (good & (rng.random(len(good)) < change.swapped_phones)) | words[example.words]
    phones = np.where(chosen, rng.integers(0, len(PHONES), len(good)), example.phones)
    wrong = phones != example.phones
    targets = np.where(wrong, np.float32(0.0), example.targets)
    weights = np.where(wrong, np.float32(SWAPPED_WEIGHT), np.float32(1.0))
    return phones, targets.astype(np.float32), weights.astype(np.float32)


def _frame_classes(row: _Row) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the phone of each network frame, and how sure it is that it was said there."""
    centres = np.arange(net_frames(len(row.mel))) * NET_FRAME_S
    spans = row.segments.spans + ALIGNER_LAG_S
    at = np.maximum(np.searchsorted(spans[:, 0], centres, side="right") - 1, 0)
    inside = (centres >= spans[at, 0]) & (centres < spans[at, 1])
    classes = np.where(inside, row.example.phones[at], len(PHONES))
    sure = np.clip(row.example.targets / 2.0, 0.1, 1.0)
    weights = np.where(inside, sure[at], 1.0)
    return classes.astype(np.int64), weights.astype(np.float32)
