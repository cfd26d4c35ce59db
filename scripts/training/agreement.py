"""Agreement with experts: correlation with an interval that respects that speakers differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGES: Final = (("children up to 12", 0, 12), ("13 to 17", 13, 17), ("adults", 18, 200))
_SEED: Final = 20260101


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of ours beside the experts', and who spoke."""

    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]
    speaker: NDArray[np.str_]
    age: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[tuple[float, float, str, int]]) -> Pairs:
        """Collect rows of our score, theirs, the speaker and the speaker's age."""
        ours, theirs, speaker, age = zip(*rows, strict=True)
        return cls(np.array(ours), np.array(theirs), np.array(speaker), np.array(age))

    def between(self, youngest: int, oldest: int) -> Pairs:
        """Return the pairs of speakers of these ages, both inclusive."""
        kept = (self.age >= youngest) & (self.age <= oldest)
        return Pairs(self.ours[kept], self.theirs[kept], self.speaker[kept], self.age[kept])

    @property
    def speakers(self) -> int:
        """Return how many speakers there are."""
        return len(np.unique(self.speaker))


@dataclass(frozen=True)
class Agreement:
    """Pearson's correlation with its 95 % interval, Spearman's, and the mean squared error."""

    n: int
    pcc: float
    low: float
    high: float
    spearman: float
    mse: float

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as a report keeps them."""
        return {
            key: value if isinstance(value, int) else round(value, 4)
            for key, value in asdict(self).items()
        }


def agreement(pairs: Pairs, resamples: int = 1000) -> Agreement:
    """Measure the agreement; the interval is a bootstrap over speakers, not over scores.

    Scores of one speaker are alike, so that drawing single scores would promise too much.
    """
    from scipy.stats import rankdata

    low, high = _interval(pairs, resamples)
    return Agreement(
        n=len(pairs.ours),
        pcc=pearson(pairs.ours, pairs.theirs),
        low=low,
        high=high,
        spearman=pearson(rankdata(pairs.ours), rankdata(pairs.theirs)),
        mse=float(np.mean((pairs.ours - pairs.theirs) ** 2)),
    )


def pearson(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return Pearson's correlation; 0 where one side does not vary."""
    a, b = a - np.mean(a), b - np.mean(b)
    norm = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / norm if norm > 0 else 0.0


def _interval(pairs: Pairs, resamples: int) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile over resampled speakers, from sums by speaker."""
    _, owner = np.unique(pairs.speaker, return_inverse=True)
    a, b = pairs.ours - pairs.ours.mean(), pairs.theirs - pairs.theirs.mean()
    terms = (np.ones_like(a), a, b, a * a, b * b, a * b)
    sums = np.stack([np.bincount(owner, weights=term) for term in terms])
    count = sums.shape[1]
    drawn = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), resamples)
    n, sa, sb, saa, sbb, sab = sums @ drawn.T
    spread = np.sqrt(np.maximum((saa - sa**2 / n) * (sbb - sb**2 / n), 1e-12))
    low, high = np.quantile((sab - sa * sb / n) / spread, (0.025, 0.975))
    return float(low), float(high)
