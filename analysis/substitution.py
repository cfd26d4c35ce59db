"""Which phone was said in place of the one that should have been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import PHONE_INDEX, PHONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Only of a phone that scored low is it said what it sounded like,
SAID_BELOW: Final = 65.0
# when one other phone holds this share of the evidence,
LEAST_CONFIDENCE: Final = 0.4
# and this many times the share of the phone that should be there.
LEAST_ODDS: Final = 2.0


@dataclass(frozen=True)
class Said:
    """The likeliest phone that was said, and its share of the evidence, 0–1."""

    phone: str
    confidence: float


def said_instead(evidence: NDArray[np.float64], phone: str, score: float) -> Said | None:
    """Return the phone said in place of `phone`, or None when the evidence is not clear.

    Parameters
    ----------
    evidence : (40,) mean log posteriors over the frames of the phone, silence last.
    phone : the phone that should be there.
    score : its score, 0–100.
    """
    if score >= SAID_BELOW:
        return None
    weights = np.exp(evidence - evidence.max())
    shares = weights / weights.sum()
    other = int(shares[: len(PHONES)].argmax())
    confidence = float(shares[other])
    own = float(shares[PHONE_INDEX[phone]])
    if PHONES[other] == phone or confidence < LEAST_CONFIDENCE or confidence < LEAST_ODDS * own:
        return None
    return Said(PHONES[other], round(confidence, 3))
