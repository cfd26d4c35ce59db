"""Forced alignment on the phone network's own posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.aligned import AlignedPhone, Hearing
from analysis.calibration import load_calibration
from analysis.placing import place, placed_phones
from analysis.segments import NET_FRAME_S, path_seconds
from analysis.trellis import best_path, log_evidence

if TYPE_CHECKING:
    from analysis.audio import Recording
    from analysis.network import PhoneNetwork
    from analysis.pronunciations import Pronunciation


def place_by_network(
    network: PhoneNetwork, recording: Recording, known: Sequence[Pronunciation]
) -> tuple[list[tuple[AlignedPhone, ...]], Hearing] | None:
    """Place words by the best path of their phones through the network's posteriors.

    None when there is less sound than phones.
    """
    heard = network.listen(recording.log_mel)
    evidence = log_evidence(heard.posteriors, load_calibration().log_priors)
    found = place(best_path, evidence, known, frame_s=NET_FRAME_S)
    if found is None:
        return None
    words, path = found
    return placed_phones(words, path_seconds(path.spans)), Hearing(heard, path)
