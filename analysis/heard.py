"""What the phone network hears in a recording, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Heard:
    """What the network hears in a recording, before it is told what should be there.

    Attributes
    ----------
    frames : (networks, frames, channels) float32, each network's own view, a frame each 20 ms.
    posteriors : (frames, 40) float32, p(phone | frame); the last column is silence.
    """

    frames: NDArray[np.float32]
    posteriors: NDArray[np.float32]
