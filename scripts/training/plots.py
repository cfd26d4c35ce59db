"""Pictures of an evaluation: calibration curves and residuals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from scripts.training.agreement import Pairs

_BINS: Final = 12


def draw_calibration(pairs: Mapping[str, Pairs], path: Path) -> None:
    """Draw, for each level, the experts' mean over ours, and below it the residuals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(pairs), figsize=(3 * len(pairs), 6), squeeze=False)
    for column, (level, found) in enumerate(pairs.items()):
        top, bottom = axes[0, column], axes[1, column]
        edges = np.quantile(found.ours, np.linspace(0, 1, _BINS + 1))
        place = np.clip(np.searchsorted(edges, found.ours, side="right") - 1, 0, _BINS - 1)
        used = [cell for cell in range(_BINS) if (place == cell).any()]
        ours = [found.ours[place == cell].mean() for cell in used]
        theirs = [found.theirs[place == cell].mean() for cell in used]
        limits = (min(*ours, *theirs), max(*ours, *theirs))
        top.plot(limits, limits, color="0.7", linewidth=1)
        top.plot(ours, theirs, marker="o", markersize=3)
        top.set(title=level, xlabel="ours", ylabel="experts, mean" if column == 0 else None)
        bottom.hist(found.theirs - found.ours, bins=40, color="0.4")
        bottom.set(xlabel="experts − ours", ylabel="count" if column == 0 else None)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
