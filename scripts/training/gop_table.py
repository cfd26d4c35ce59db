"""The table that turns GOP into a score, for a core without its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.gop import GOP_FLOOR_NATS
from analysis.phones import PHONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.corpus import Example


def fit_gop_table(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Return (39, 2): a and b of a logistic curve from GOP to the share of full marks, b ≥ 0."""
    from scipy.optimize import least_squares

    phones = np.concatenate([example.phones for example in examples])
    gop = np.concatenate([example.gop for example in examples]).astype(np.float64)
    gop = np.maximum(gop, GOP_FLOOR_NATS)
    shares = np.concatenate([example.targets for example in examples]) / 2.0
    table = np.zeros((len(PHONES), 2))
    for phone in range(len(PHONES)):
        own = phones == phone
        if own.sum() < 30:
            own = np.ones(len(phones), dtype=bool)
        x, y = gop[own], shares[own]
        table[phone] = least_squares(
            lambda ab, x=x, y=y: 1.0 / (1.0 + np.exp(-(ab[0] + ab[1] * x))) - y,
            x0=(3.0, 0.3),
            bounds=((-5.0, 0.0), (10.0, 5.0)),
        ).x
    return table
