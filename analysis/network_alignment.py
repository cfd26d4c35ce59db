"""Forced alignment on the phone network's own posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.aligned import AlignedPhone, Hearing
from analysis.calibration import load_calibration
from analysis.network import load_network
from analysis.segments import path_seconds
from analysis.trellis import best_path, log_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.audio import Recording
    from analysis.pronunciations import Pronunciation

# Room around a word in which its other pronunciations are compared.
_MARGIN_FRAMES: Final = 3


def place_by_network(
    recording: Recording, known: Sequence[Pronunciation]
) -> tuple[list[tuple[AlignedPhone, ...]], Hearing] | None:
    """Place words by the best path of their phones through the network's posteriors.

    Returns None without the network, or when there is less sound than phones. Of a word with
    several pronunciations the one that fits its stretch best is taken.
    """
    network = load_network()
    if network is None:
        return None
    heard = network.listen(recording.log_mel)
    evidence = log_evidence(heard.posteriors, load_calibration().log_priors)
    chosen = [word.variants[0] for word in known]
    path = best_path(evidence, chosen)
    if path is None:
        return None
    if any(len(word.variants) > 1 for word in known):
        chosen = _best_variants(evidence, known, path.spans)
        path = best_path(evidence, chosen)
        if path is None:
            return None
    placed = []
    seconds = path_seconds(path.spans).astype(float).round(3)
    at = 0
    for phones in chosen:
        placed.append(
            tuple(
                AlignedPhone(phone, float(start), float(end))
                for phone, (start, end) in zip(phones, seconds[at : at + len(phones)], strict=True)
            )
        )
        at += len(phones)
    return placed, Hearing(heard, path)


def _best_variants(
    evidence: NDArray[np.float64], known: Sequence[Pronunciation], spans: NDArray[np.int64]
) -> list[tuple[str, ...]]:
    chosen = []
    at = 0
    for word in known:
        first = max(int(spans[at, 0]) - _MARGIN_FRAMES, 0)
        past = int(spans[at + len(word.variants[0]) - 1, 1]) + _MARGIN_FRAMES
        at += len(word.variants[0])
        scored = [(best_path(evidence[first:past], [phones]), phones) for phones in word.variants]
        found = [(path.score, phones) for path, phones in scored if path is not None]
        chosen.append(max(found, key=lambda one: one[0])[1] if found else word.variants[0])
    return chosen
