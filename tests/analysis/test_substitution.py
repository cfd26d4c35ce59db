"""Which phone was said instead, and when nothing is said of it."""

import numpy as np
from numpy.typing import NDArray

from analysis.phones import PHONE_INDEX, PHONES
from analysis.substitution import said_instead


def evidence(**shares: float) -> NDArray[np.float64]:
    rest = (1.0 - sum(shares.values())) / (len(PHONES) + 1 - len(shares))
    found = np.full(len(PHONES) + 1, rest)
    for phone, share in shares.items():
        found[PHONE_INDEX.get(phone, len(PHONES))] = share
    logs: NDArray[np.float64] = np.log(found)
    return logs


def test_a_clear_other_phone_is_named_with_its_share() -> None:
    said = said_instead(evidence(S=0.8, TH=0.05), "TH", 20.0)
    assert said is not None
    assert said.phone == "S"
    assert said.confidence == 0.8


def test_nothing_is_said_of_a_phone_that_scored_well() -> None:
    assert said_instead(evidence(S=0.8), "TH", 90.0) is None


def test_nothing_is_said_when_the_evidence_is_spread() -> None:
    assert said_instead(evidence(S=0.3, F=0.25, T=0.2), "TH", 10.0) is None


def test_nothing_is_said_when_the_right_phone_is_nearly_as_likely() -> None:
    assert said_instead(evidence(S=0.45, TH=0.4), "TH", 30.0) is None


def test_silence_is_no_phone() -> None:
    assert said_instead(evidence(silence=0.9), "TH", 0.0) is None


def test_the_right_phone_is_never_named_as_said_instead() -> None:
    assert said_instead(evidence(TH=0.9), "TH", 40.0) is None
