"""What is usual: how long each phone lasts, and how much of speech it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.line_features import DurationNorms
from analysis.phones import PHONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.corpus import Example

WELL_SAID: Final = 1.9  # lines of this mean phone score say how long phones usually are


def duration_norms(examples: Iterable[Example]) -> DurationNorms:
    """Return the usual log duration of each phone, from phones said well in lines said well."""
    logs: list[list[float]] = [[] for _ in PHONES]
    for example in examples:
        if example.targets.mean() < WELL_SAID:
            continue
        durations = np.log(np.maximum(example.spans[:, 1] - example.spans[:, 0], 0.01))
        for phone, duration, score in zip(example.phones, durations, example.targets, strict=True):
            if score >= WELL_SAID:
                logs[phone].append(float(duration))
    overall = np.concatenate([np.array(own) for own in logs])
    mean = [np.mean(own) if len(own) >= 20 else overall.mean() for own in logs]
    deviation = [np.std(own) if len(own) >= 20 else overall.std() for own in logs]
    return DurationNorms(np.array(mean), np.array(deviation))


def log_priors(examples: Iterable[Example]) -> NDArray[np.float64]:
    """Return the log share of each class of frames, silence last."""
    seconds = np.ones(len(PHONES) + 1)
    for example in examples:
        durations = example.spans[:, 1] - example.spans[:, 0]
        np.add.at(seconds, example.phones, durations)
        seconds[-1] += max(len(example.mels[0]) / 100.0 - float(durations.sum()), 0.0)
    shares: NDArray[np.float64] = np.log(seconds / seconds.sum())
    return shares
