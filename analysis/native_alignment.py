"""Forced alignment on native speech: PocketSphinx's Gaussians, searched without its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.aligned import AlignedPhone
from analysis.cepstra import cepstra
from analysis.native_evidence import by_state
from analysis.native_model import STATES, load_native_model
from analysis.placing import place, placed_phones
from analysis.segments import MEL_FRAME_S
from analysis.trellis import best_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.audio import Recording
    from analysis.pronunciations import Pronunciation
    from analysis.trellis import Placement


def place_by_native_model(
    recording: Recording, known: Sequence[Pronunciation]
) -> list[tuple[AlignedPhone, ...]] | None:
    """Place words by the best path through the states of their phones.

    Phones count without their context: learners do not run them together as natives do.
    None when there is less sound than states.
    """
    evidence = _evidence(recording.samples)
    found = place(_best_places, evidence, known, frame_s=MEL_FRAME_S)
    if found is None:
        return None
    words, placement = found
    return placed_phones(words, _seconds(placement.spans))


def native_spans(
    samples: NDArray[np.float32], words: Sequence[Sequence[str]]
) -> NDArray[np.float32] | None:
    """Return (P, 2) where the phones of these words lie, on the clock of `Segments.spans`.

    None when there is less sound than states.
    """
    found = _best_places(_evidence(samples), words)
    return None if found is None else _seconds(found.spans)


def _evidence(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    likelihoods, _ = load_native_model().hear(cepstra(samples))
    return by_state(likelihoods)


def _best_places(evidence: NDArray[np.float64], words: Sequence[Sequence[str]]) -> Placement | None:
    return best_places(evidence, words, STATES)


def _seconds(frames: NDArray[np.int64]) -> NDArray[np.float32]:
    seconds: NDArray[np.float32] = (frames * MEL_FRAME_S).astype(np.float32)
    return seconds
