"""How like native speech each phone of a line was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.cepstra import WARP, cepstra, frames_around
from analysis.native_evidence import by_phone
from analysis.native_model import FIRST, LAST, load_native_model
from analysis.path_evidence import PathEvidence
from analysis.phones import SILENCE
from analysis.segments import word_edges
from analysis.trellis import best_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.segments import Segments

# A phone that fits no native one at all; below it nothing more is told apart.
FLOOR_NATS: Final = -10.0
# A longer gap parts two phones: natives say each as they do at the edge of a line.
_PARTED_FRAMES: Final = 5
_LOW: Final = 0.25


@dataclass(frozen=True, eq=False)
class Nativeness:
    """How native each phone of a line is, and for how long.

    Attributes
    ----------
    phones : (P,) goodness of pronunciation among native phones, nats, at least `FLOOR_NATS`.
    frames : (P,) how many frames of 10 ms each has.
    path : what the best path of the line's words through native likelihoods says, with little
        silence around it.
    """

    phones: NDArray[np.float64]
    frames: NDArray[np.int64]
    path: PathEvidence

    @property
    def line(self) -> float:
        """The mean over the line's frames of speech."""
        return float(np.average(self.phones, weights=self.frames))

    @property
    def low(self) -> float:
        """The bound of the line's least native quarter of phones."""
        return float(np.quantile(self.phones, _LOW))

    def of(self, phones: NDArray[np.bool_]) -> Nativeness:
        """Return it of some of the phones (P,) alone; what the path says is of all."""
        return Nativeness(self.phones[phones], self.frames[phones], self.path)


def nativeness(
    samples: NDArray[np.float32], rows: Segments, *, warp: float = WARP
) -> Nativeness | None:
    """Hold each phone of a line against native speech; None where there is less sound than text.

    The mean over a phone's frames of log p(frame | phone) − max over phones (Witt & Young 2000),
    by Gaussians that never met a learner: the network, which has met no one else, cannot know it.
    The phone is taken between its neighbours, as natives run phones together.

    Parameters
    ----------
    samples : (n,) float32 in [-1, 1] at 16 kHz.
    rows : the aligned phones.
    warp : see `analysis.cepstra.cepstra`.
    """
    model = load_native_model()
    line = float(rows.spans.min()), float(rows.spans.max())
    features = cepstra(samples, line, warp=warp)
    start, past = rows.frames(features.shape[1])
    near = frames_around(line, features.shape[1])
    features, start, past = features[:, near], start - near.start, past - near.start
    frames = past - start
    before, after = _neighbours(rows.phones, start, past)
    first, last = word_edges(rows.words)
    senones = model.senones_of(rows.phones, before, after, FIRST * first + LAST * last)
    # Every frame of every phone, one after the other, and then the others.
    ends = np.cumsum(frames)
    of_phones = np.repeat(start - ends + frames, frames) + np.arange(ends[-1])
    others = np.setdiff1d(np.arange(features.shape[1]), of_phones)
    order = np.concatenate((of_phones, others))
    found, ratios = model.hear(
        features[:, order], np.repeat(rows.phones, frames), np.repeat(senones, frames, axis=0)
    )
    means = np.add.reduceat(ratios.astype(np.float64), ends - frames) / frames
    likelihoods = np.empty((features.shape[1], *found.shape[1:]), dtype=np.float32)
    likelihoods[order] = found
    path = best_path(by_phone(likelihoods), rows.pronunciations())
    if path is None:
        return None
    return Nativeness(np.maximum(means, FLOOR_NATS), frames, PathEvidence.of(path))


def _neighbours(
    phones: NDArray[np.int64], start: NDArray[np.int64], past: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (P,) the phones before and after each, `SILENCE` where they are parted."""
    parted = start[1:] - past[:-1] > _PARTED_FRAMES
    before = np.append(SILENCE, np.where(parted, SILENCE, phones[:-1]))
    after = np.append(np.where(parted, SILENCE, phones[1:]), SILENCE)
    return before, after
