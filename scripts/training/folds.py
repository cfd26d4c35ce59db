"""Folds of speakers: who is held out when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

FOLDS: Final = 5
_SEED: Final = 7


def fold_of(speakers: Iterable[str]) -> dict[str, int]:
    """Return the fold of each speaker; a speaker is in one fold with all of their lines."""
    ordered = sorted(set(speakers))
    np.random.default_rng(_SEED).shuffle(ordered)
    return {speaker: place % FOLDS for place, speaker in enumerate(ordered)}
