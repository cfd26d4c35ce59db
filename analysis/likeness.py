"""How alike two curves are: shape, range and distance in one number, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A reference flatter than this many units is taken as this flat, so that ratios stay finite.
MIN_DEVIATION: Final = 0.05


@dataclass(frozen=True, eq=False)
class Likeness:
    """Two curves of n shared frames against each other.

    Attributes
    ----------
    by_frame : shape (n,), 1 where they agree, about 0 on the mean of unrelated curves, less where
        they contradict each other; its mean is the likeness of the whole.
    correlation : Pearson's, −1 to 1; 0 when a curve does not move.
    rmse : root mean square distance about the means, in the curves' unit.
    ratio : standard deviation of the user over that of the reference.
    """

    by_frame: Floats
    correlation: float
    rmse: float
    ratio: float


def concordance(
    user: Floats, reference: Floats, *, unnoticed: float, largest_error: float
) -> Likeness:
    """Compare two curves about their means by Lin's concordance, resolved frame by frame.

    With u and r about their means, a frame's likeness is ``1 − (u − r)² / (σ_u² + σ_r² + ε²)``.
    Without ε its mean is ``2 cov(u, r) / (σ_u² + σ_r²)``: 1 for equal curves, 0 for unrelated
    ones or for a flat one against a moving one. ε is a deviation that nobody notices: two curves
    that both move less than that are alike whatever they do.

    Parameters
    ----------
    user, reference : shape (n,), n ≥ 1, finite.
    unnoticed : ε, in the curves' unit.
    largest_error : a frame's error counts up to this, in the curves' unit.

    References
    ----------
    Lin (1989), A concordance correlation coefficient to evaluate reproducibility, Biometrics 45.
    """
    u = user - user.mean()
    r = reference - reference.mean()
    error = np.minimum((u - r) ** 2, largest_error**2)
    user_variance, reference_variance = float(np.mean(u**2)), float(np.mean(r**2))
    spread = float(np.sqrt(user_variance * reference_variance))
    correlation = float(np.mean(u * r)) / spread if spread > 0.0 else 0.0
    return Likeness(
        by_frame=1.0 - error / (user_variance + reference_variance + unnoticed**2),
        correlation=max(-1.0, min(1.0, correlation)),
        rmse=float(np.sqrt(error.mean())),
        ratio=float(np.sqrt(user_variance))
        / max(float(np.sqrt(reference_variance)), MIN_DEVIATION),
    )


def percent(share: float) -> float:
    """Return a share as 0–100, cut off at both ends."""
    return 100.0 * max(0.0, min(1.0, share))
