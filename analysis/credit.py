"""What scores count for, by how surely a line and each of its words was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.presence import WORD_FEATURES, line_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.calibration import Calibration
    from analysis.evidence import TextEvidence

# A phone has a frame of 20 ms at the least: the path gives no more where it found no room.
_LEAST_PHONE_S: Final = 0.021
# Good speakers leave next to nothing of "the" and "of", and experts give them full marks for it.
_SHORT_PHONES: Final = 2


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
    """Weigh how surely a line was said; None when it, or each of its words, plainly was not.

    What the detectors do not say for sure they say by degrees (`Detector.credit`): of the line
    always, and of a word where the path found no room for it. Elsewhere doubtful words are mostly
    said, and badly, of which their scores tell already.

    Parameters
    ----------
    words : (placed words, `WORD_FEATURES`), their `word_features`.
    evidence : how well the recording bears the text.
    """
    line = calibration.wrong_text[scorer].credit(line_evidence(words, evidence))
    credit = np.array([calibration.omission[scorer].credit(row) for row in words])
    credit = np.where(_squeezed(words) | (credit == 0.0), credit, 1.0)
    return Credit(credit, line) if line > 0.0 and credit.any() else None


def _squeezed(words: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (placed words,) which the line fits better without, and that have 20 ms a phone."""
    durations = words[:, WORD_FEATURES.index("log_phone_duration")]
    phones = words[:, WORD_FEATURES.index("log_phones")]
    presence = words[:, WORD_FEATURES.index("presence")]
    long = phones > np.log(_SHORT_PHONES + 0.5)
    squeezed: NDArray[np.bool_] = (durations < np.log(_LEAST_PHONE_S)) & long & (presence < 0.0)
    return squeezed
