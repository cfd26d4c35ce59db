"""What scores count for, by how surely a line and each of its words was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.presence import line_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.calibration import Calibration
    from analysis.evidence import TextEvidence


@dataclass(frozen=True, eq=False)
class Credit:
    """What a line's scores count for.

    Attributes
    ----------
    words : (placed words,) 0–1; 0 is a word that was not said.
    line : above 0 and at most 1; of everything.
    """

    words: NDArray[np.float64]
    line: float

    @property
    def said(self) -> NDArray[np.bool_]:
        """(placed words,) which were said."""
        said: NDArray[np.bool_] = self.words > 0.0
        return said


def give_credit(
    calibration: Calibration, scorer: str, words: NDArray[np.float64], evidence: TextEvidence
) -> Credit | None:
    """Tell which words were said; None when the line, or each of its words, was not.

    Parameters
    ----------
    words : (placed words, `WORD_FEATURES`), their `word_features`.
    evidence : how well the recording bears the text.
    """
    if calibration.wrong_text[scorer].flags(line_evidence(words, evidence)):
        return None
    omission = calibration.omission[scorer]
    credit = np.array([0.0 if omission.flags(row) else 1.0 for row in words])
    return Credit(credit, 1.0) if credit.any() else None
