"""A line scored at several places: searches that weigh rare phones differently, averaged.

Where exactly a phone begins and ends moves its score; no one place is right. Searches with the
priors at other powers put borders elsewhere where the evidence is weak, and only there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.network import Judgement
from analysis.segments import Segments, path_seconds
from analysis.trellis import best_path, log_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.assessment import Profile
    from analysis.heard import Heard
    from analysis.network import PhoneNetwork

# Powers of the prior in the searches beside the alignment's own.
FURTHER_POWERS: Final[dict[Profile, tuple[float, ...]]] = {"accurate": (0.3, 1.1), "fast": ()}


def judge(
    network: PhoneNetwork,
    heard: Heard,
    rows: Segments,
    log_priors: NDArray[np.float64],
    *,
    profile: Profile,
) -> Judgement:
    """Score a line where it lies, and where a profile's further searches put it; the mean.

    Parameters
    ----------
    rows : the aligned phones.
    log_priors : (40,) log share of each class of frames, silence last.
    """
    found = [network.judge(heard, rows)]
    words = rows.pronunciations()
    for power in FURTHER_POWERS[profile]:
        spans = _spans(log_evidence(heard.posteriors, log_priors, power), words)
        if spans is not None:
            found.append(network.judge(heard, Segments.at(rows.phones, spans, rows.words)))
    return Judgement(
        phones=np.mean([one.phones for one in found], axis=0),
        words=np.mean([one.words for one in found], axis=0),
        line=np.mean([one.line for one in found], axis=0),
    )


def _spans(
    evidence: NDArray[np.float64], words: Sequence[Sequence[str]]
) -> NDArray[np.float32] | None:
    # The path itself, frames times phones, goes when this returns: one search is held at a time.
    path = best_path(evidence, words)
    return None if path is None else path_seconds(path.spans)
