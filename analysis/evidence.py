"""What the network's posteriors say of each phone and of the line's text as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.phones import PHONES
from analysis.segments import PARTS
from analysis.trellis import FLOOR, Path, best_path, log_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analysis.alignment import AlignedWord
    from analysis.segments import Segments


@dataclass(frozen=True, eq=False)
class LineEvidence:
    """Posteriors of a line, by frame and by phone.

    Attributes
    ----------
    posteriors : (frames, 40) p(phone | frame), silence last, a frame each 20 ms.
    phones : (P, 40) mean log posterior over each aligned phone.
    likelihoods : (frames, 40) posteriors over priors, in which `path` was found.
    path : the line's best path, with each word's evidence of having been said; None when the
        recording has fewer frames than the line has phones.
    """

    posteriors: NDArray[np.float32]
    phones: NDArray[np.float64]
    likelihoods: NDArray[np.float64]
    path: Path | None

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
    words: Sequence[AlignedWord],
    log_priors: NDArray[np.float64],
) -> LineEvidence:
    """Pool the posteriors over the aligned phones and find the line's own best path in them."""
    logs = np.log(np.maximum(posteriors, np.float32(FLOOR)))
    thirds = (rows.pool(len(posteriors)) @ logs).reshape(-1, PARTS, posteriors.shape[1])
    likelihoods = log_evidence(posteriors, log_priors)
    return LineEvidence(
        posteriors=posteriors,
        phones=thirds.mean(axis=1).astype(np.float64),
        likelihoods=likelihoods,
        path=best_path(likelihoods, [[phone.phone for phone in word.phones] for word in words]),
    )
