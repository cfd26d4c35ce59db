"""The corpus placed anew on a network's own posteriors, where PocketSphinx loses a tenth of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.network_alignment import path_seconds
from analysis.phones import PHONES
from analysis.trellis import best_path, log_evidence
from scripts.training.hearing import log_priors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.network import PhoneNetwork
    from scripts.training.corpus import Example


def realigned(
    examples: Sequence[Example], networks: Sequence[PhoneNetwork], cache: Path
) -> list[Example]:
    """Return the examples with the spans of their best paths; kept in the file `cache`."""
    if not cache.exists():
        priors = log_priors(examples)
        np.savez(cache, spans=np.concatenate([place(e, networks, priors) for e in examples]))
    with np.load(cache) as stored:
        spans = stored["spans"]
    ends = np.cumsum([len(example.phones) for example in examples])
    return [
        replace(example, spans=own)
        for example, own in zip(examples, np.split(spans, ends[:-1]), strict=True)
    ]


def place(
    example: Example, networks: Sequence[PhoneNetwork], priors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the spans (P, 2) of an example, in seconds, by the networks' mean posteriors."""
    mel = example.mels[0].astype(np.float32)
    posteriors = np.mean([network.listen(mel) for network in networks], axis=0)
    words = [
        [PHONES[phone] for phone in example.phones[example.words == word]]
        for word in range(int(example.words[-1]) + 1)
    ]
    path = best_path(log_evidence(posteriors, priors), words)
    return example.spans if path is None else path_seconds(path.spans)
