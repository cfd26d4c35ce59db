"""How a cost grows with the length of a recording: the exponent of a power law."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Growth:
    """cost = `scale` · seconds ** `exponent`: 1 is linear, 2 quadratic."""

    scale: float
    exponent: float


def fit(costs: Mapping[float, float]) -> Growth:
    """Fit a power law to costs by seconds, by least squares in the logarithms of both.

    Raises
    ------
    ValueError
        Fewer than two lengths, or a cost that is not positive.
    """
    if len(costs) < 2:
        raise ValueError(f"growth needs two lengths at least; given {len(costs)}")
    if any(cost <= 0.0 for cost in costs.values()):
        raise ValueError(f"every cost must be positive: {dict(costs)}")
    across = [math.log(seconds) for seconds in costs]
    up = [math.log(cost) for cost in costs.values()]
    middle, height = sum(across) / len(across), sum(up) / len(up)
    slope = sum((x - middle) * (y - height) for x, y in zip(across, up, strict=True)) / sum(
        (x - middle) ** 2 for x in across
    )
    return Growth(math.exp(height - slope * middle), slope)
