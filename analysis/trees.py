"""Boosted regression trees, applied with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of T complete binary trees of one depth D.

    Node n has its children at 2n + 1 and 2n + 2; leaves are counted from the left.

    Attributes
    ----------
    features : (T, 2^D - 1) int64, the column that a node asks about.
    thresholds : (T, 2^D - 1) float64; a row goes left where its value is at most this.
    leaves : (T, 2^D) float64, what each leaf adds.
    base : what is added to.
    """

    features: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    leaves: NDArray[np.float64]
    base: float

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N,) the sums of the leaves that rows (N, columns) end in."""
        count, nodes = self.features.shape
        tree = np.arange(count)
        row = np.arange(len(rows))[:, None]
        at = np.zeros((len(rows), count), dtype=np.int64)
        for _ in range((nodes + 1).bit_length() - 1):
            asked = rows[row, self.features[tree, at]]
            at = 2 * at + 1 + (asked > self.thresholds[tree, at])
        found: NDArray[np.float64] = self.base + self.leaves[tree, at - nodes].sum(axis=1)
        return found
