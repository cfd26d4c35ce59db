"""What is heard of each phone, each word and the line's text as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.phones import PHONES
from analysis.segments import PARTS
from analysis.trellis import FLOOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.nativeness import Nativeness
    from analysis.path_evidence import PathEvidence
    from analysis.segments import Segments


@dataclass(frozen=True, eq=False)
class TextEvidence:
    """How well a recording bears its text.

    Attributes
    ----------
    own : (P,) mean log evidence of each phone that should be there.
    lead : (P,) the same less that of the best phone of all; 0 where it is the best.
    path : of the network.
    native_path : of native likelihoods, a second opinion.
    """

    own: NDArray[np.float64]
    lead: NDArray[np.float64]
    path: PathEvidence
    native_path: PathEvidence

    @staticmethod
    def native(native: Nativeness) -> TextEvidence:
        """Return what there is without the network: goodness of pronunciation is such a lead."""
        return TextEvidence(native.phones, native.phones, native.path, native.path)

    def of(self, phones: NDArray[np.bool_]) -> TextEvidence:
        """Return it of some of the phones (P,) alone; what paths say is of all."""
        return TextEvidence(self.own[phones], self.lead[phones], self.path, self.native_path)


@dataclass(frozen=True, eq=False)
class LineEvidence(TextEvidence):
    """What the network's posteriors say of a line.

    Attributes
    ----------
    thirds : (P, `PARTS`, 40) mean log posterior over each third of each aligned phone.
    phones : (P, 40) the same over each whole phone.
    """

    thirds: NDArray[np.float64]
    phones: NDArray[np.float64]


def gather(
    posteriors: NDArray[np.float32],
    rows: Segments,
    path: PathEvidence,
    native_path: PathEvidence,
) -> LineEvidence:
    """Pool the posteriors over the aligned phones.

    Parameters
    ----------
    posteriors : (frames, 40) p(phone | frame), silence last, a frame each 20 ms.
    rows : the aligned phones.
    path, native_path : see `TextEvidence`.
    """
    logs = np.log(np.maximum(posteriors, np.float32(FLOOR)))
    pooled = rows.pool(len(posteriors)) @ logs
    thirds = pooled.reshape(-1, PARTS, posteriors.shape[1]).astype(np.float64)
    phones = thirds.mean(axis=1)
    own = phones[np.arange(len(rows.phones)), rows.phones]
    lead = own - phones[:, : len(PHONES)].max(axis=1)
    return LineEvidence(
        own=own, lead=lead, path=path, native_path=native_path, thirds=thirds, phones=phones
    )
