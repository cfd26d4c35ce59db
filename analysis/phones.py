"""The phone set: the 39 ARPAbet phones that dictionary, aligner and network share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# fmt: off
VOWELS: Final = frozenset((
    "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW",
))
CONSONANTS: Final = frozenset((
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH",
    "T", "TH", "V", "W", "Y", "Z", "ZH",
))
# fmt: on
# The order is the network's class order and the row order of every fitted table.
PHONES: Final[tuple[str, ...]] = tuple(sorted(VOWELS | CONSONANTS))
# The class, and the row of tables that have one, beyond those of the phones.
SILENCE: Final = len(PHONES)
PHONE_INDEX: Final[dict[str, int]] = {phone: i for i, phone in enumerate(PHONES)}

# Symbols of other ARPAbet dialects (TIMIT, MFA, espeak's export), folded into the 39.
_FOLDED: Final[dict[str, tuple[str, ...]]] = {
    "AX": ("AH",),
    "AXR": ("ER",),
    "AX-H": ("AH",),
    "BX": ("B",),
    "DX": ("D",),
    "EL": ("AH", "L"),
    "EM": ("AH", "M"),
    "EN": ("AH", "N"),
    "ENG": ("IH", "NG"),
    "H": ("HH",),
    "HV": ("HH",),
    "IX": ("IH",),
    "J": ("Y",),
    "NX": ("N",),
    "UX": ("UW",),
    "WH": ("W",),
}


def strip_stress(phone: str) -> str:
    """Return the upper-case phone without its stress digit (``"ay1"`` → ``"AY"``)."""
    return phone.strip().upper().rstrip("0123456789")


def normalise_phones(phones: Iterable[str]) -> tuple[str, ...] | None:
    """Fold a pronunciation into the 39 phones; None when a symbol is not ARPAbet at all."""
    folded: list[str] = []
    for symbol in phones:
        phone = strip_stress(symbol)
        if phone in PHONE_INDEX:
            folded.append(phone)
        elif phone in _FOLDED:
            folded.extend(_FOLDED[phone])
        else:
            return None
    return tuple(folded) or None
