"""What the best path of a line says of its text, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.trellis import Path

# Beyond these a word is surely there, or surely not; more says nothing more.
MOST_PRESENCE_NATS: Final = 40.0
LEAST_PRESENCE_NATS: Final = -20.0


@dataclass(frozen=True, eq=False)
class PathEvidence:
    """What the best path of a line says of its text; the path itself is large.

    Attributes
    ----------
    presence : (placed words,) the likelihood lost without each, bounded, nats.
    fit : the path's likelihood over that of any phones at all, bounded, nats a frame of speech.
    speech_share : the share of frames that no silence fits best.
    """

    presence: NDArray[np.float64]
    fit: float
    speech_share: float

    @classmethod
    def of(cls, path: Path) -> Self:
        """Work out what a path says."""
        return cls(
            np.clip(path.presence, LEAST_PRESENCE_NATS, MOST_PRESENCE_NATS),
            max(path.fit, LEAST_PRESENCE_NATS),
            path.speech_share,
        )
