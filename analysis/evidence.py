"""What the network's posteriors say of each phone, each word and the line's text as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import PHONES, SILENCE
from analysis.segments import PARTS
from analysis.trellis import FLOOR, log_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.segments import Segments
    from analysis.trellis import Path

# Beyond these a word is surely there, or surely not; more says nothing more.
MOST_PRESENCE_NATS: Final = 40.0
LEAST_PRESENCE_NATS: Final = -20.0


@dataclass(frozen=True, eq=False)
class LineEvidence:
    """Posteriors of a line, by frame and by phone.

    Attributes
    ----------
    posteriors : (frames, 40) p(phone | frame), silence last, a frame each 20 ms.
    thirds : (P, `PARTS`, 40) mean log posterior over each third of each aligned phone.
    phones : (P, 40) the same over each whole phone.
    likelihoods : (frames, 40) posteriors over priors, in which `path` was found.
    path : the line's best path, with each word's evidence of having been said; None when the
        recording has fewer frames than the line has phones.
    presence : (placed words,) the likelihood lost without each, bounded, nats; 0 without a path.
    """

    posteriors: NDArray[np.float32]
    thirds: NDArray[np.float64]
    phones: NDArray[np.float64]
    likelihoods: NDArray[np.float64]
    path: Path | None
    presence: NDArray[np.float64]

    @property
    def path_fit(self) -> float:
        """The best path's log likelihood over that of any phones at all, a frame of speech."""
        if self.path is None:
            return LEAST_PRESENCE_NATS
        speech = int((self.posteriors.argmax(axis=1) != SILENCE).sum())
        free = self.likelihoods.max(axis=1).sum()
        return max(float(self.path.score - free) / max(speech, 1), LEAST_PRESENCE_NATS)

    def own(self, rows: Segments) -> NDArray[np.float64]:
        """Return (P,) the mean log posterior of each phone that should be there."""
        own: NDArray[np.float64] = self.phones[np.arange(len(rows.phones)), rows.phones]
        return own

    def lead(self, rows: Segments) -> NDArray[np.float64]:
        """Return (P,) the same less that of the best phone of all: 0 where it is the best."""
        lead: NDArray[np.float64] = self.own(rows) - self.phones[:, : len(PHONES)].max(axis=1)
        return lead


def gather(
    posteriors: NDArray[np.float32],
    rows: Segments,
    path: Path | None,
    log_priors: NDArray[np.float64],
) -> LineEvidence:
    """Pool the posteriors over the aligned phones; `path` is the line's own best path in them."""
    logs = np.log(np.maximum(posteriors, np.float32(FLOOR)))
    pooled = rows.pool(len(posteriors)) @ logs
    thirds = pooled.reshape(-1, PARTS, posteriors.shape[1]).astype(np.float64)
    return LineEvidence(
        posteriors=posteriors,
        thirds=thirds,
        phones=thirds.mean(axis=1),
        likelihoods=log_evidence(posteriors, log_priors),
        path=path,
        presence=np.zeros(rows.word_rows()[-1] + 1)
        if path is None
        else np.clip(path.presence, LEAST_PRESENCE_NATS, MOST_PRESENCE_NATS),
    )
