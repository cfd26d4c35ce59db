"""The corpus placed anew on a network's own posteriors, where PocketSphinx loses a tenth of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.phones import PHONES
from analysis.segments import path_seconds
from analysis.trellis import best_path, log_evidence
from scripts.training.priors import log_priors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.network import PhoneNetwork
    from scripts.training.corpus import Example
    from scripts.training.mismatches import Mismatch


def realigned(
    examples: Sequence[Example], networks: Sequence[PhoneNetwork], cache: Path
) -> list[Example]:
    """Return the examples with the spans of their best paths; kept in the file `cache`."""
    if not cache.exists():
        priors = log_priors(examples)
        found = [place(e.mels[0].astype(np.float32), e, networks, priors) for e in examples]
        kept = [
            example.spans if spans is None else spans
            for example, spans in zip(examples, found, strict=True)
        ]
        np.savez(cache, spans=np.concatenate(kept))
    with np.load(cache) as stored:
        spans = stored["spans"]
    ends = np.cumsum([len(example.phones) for example in examples])
    return [
        replace(example, spans=own)
        for example, own in zip(examples, np.split(spans, ends[:-1]), strict=True)
    ]


def place(
    mel: NDArray[np.float32],
    text: Example | Mismatch,
    networks: Sequence[PhoneNetwork],
    priors: NDArray[np.float64],
) -> NDArray[np.float32] | None:
    """Return the spans (P, 2) of a text's phones, in seconds, by the networks' mean posteriors.

    None when there is less sound than text.
    """
    posteriors = np.mean([network.listen(mel).posteriors for network in networks], axis=0)
    path = best_path(log_evidence(posteriors, priors), words_of(text))
    return None if path is None else path_seconds(path.spans)


def words_of(text: Example | Mismatch) -> list[list[str]]:
    """Return the phones of each word of a text."""
    return [
        [PHONES[phone] for phone in text.phones[text.words == word]]
        for word in range(int(text.words[-1]) + 1)
    ]
