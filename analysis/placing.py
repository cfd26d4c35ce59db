"""Words of several pronunciations on a line's evidence: which was said, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from analysis.aligned import AlignedPhone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.pronunciations import Pronunciation
    from analysis.trellis import Placement

_Found = TypeVar("_Found", bound="Placement")
# Room around a word in which its other pronunciations are compared.
_MARGIN_S: Final = 0.06


def place(
    search: Callable[[NDArray[np.float64], Sequence[Sequence[str]]], _Found | None],
    evidence: NDArray[np.float64],
    known: Sequence[Pronunciation],
    *,
    frame_s: float,
) -> tuple[list[tuple[str, ...]], _Found] | None:
    """Return the pronunciation of each word that fits its stretch best, and where all lie.

    Parameters
    ----------
    search : `best_path`, or what finds as much.
    evidence : what it takes, a frame each `frame_s` seconds.
    known : the pronunciations of each word.

    Returns
    -------
    None when there is less sound than phones in the first pronunciation of each word.
    """
    first = [word.variants[0] for word in known]
    found = search(evidence, first)
    if found is None:
        return None
    if all(len(word.variants) == 1 for word in known):
        return first, found
    margin = round(_MARGIN_S / frame_s)
    chosen = _best_variants(search, evidence, known, found.spans, margin)
    again = search(evidence, chosen)
    # Neighbours both claim the margin between them: longer words may not fit side by side.
    return (first, found) if again is None else (chosen, again)


def placed_phones(
    words: Sequence[Sequence[str]], seconds: NDArray[np.floating]
) -> list[tuple[AlignedPhone, ...]]:
    """Return the phones of each word at their `seconds` (P, 2)."""
    spans = iter(seconds.astype(float).round(3).tolist())
    return [tuple(AlignedPhone(phone, *next(spans)) for phone in word) for word in words]


def _best_variants(
    search: Callable[[NDArray[np.float64], Sequence[Sequence[str]]], Placement | None],
    evidence: NDArray[np.float64],
    known: Sequence[Pronunciation],
    spans: NDArray[np.int64],
    margin: int,
) -> list[tuple[str, ...]]:
    chosen = []
    at = 0
    for word in known:
        first = max(int(spans[at, 0]) - margin, 0)
        past = int(spans[at + len(word.variants[0]) - 1, 1]) + margin
        at += len(word.variants[0])
        scored = [(search(evidence[first:past], [phones]), phones) for phones in word.variants]
        found = [(placed.score, phones) for placed, phones in scored if placed is not None]
        chosen.append(max(found, key=lambda one: one[0])[1] if found else word.variants[0])
    return chosen
