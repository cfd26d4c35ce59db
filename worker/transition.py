"""The IPv4 addresses inside IPv6 addresses: what a translator or a tunnel makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_LOW_32_BITS: Final = tuple(
    IPv6Network(network)
    for network in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96")
)
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_LOCAL_NAT64_PREFIXES: Final = (48, 56, 64, 96)
"""The lengths of a translator's prefix that fit into that network (RFC 6052, section 2.2)."""
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP_IDS: Final = frozenset({0x00005EFE, 0x02005EFE})


def carried(address: IPv4Address | IPv6Address, opened_prefix: int) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries in one of the transition forms.

    Where a network for local translators was opened as a whole, the length of their prefix is not
    known, and each that fits makes another address of the same bits.

    IPv4-mapped and -compatible (RFC 4291), -translated (RFC 2765), NAT64 (RFC 6052, 8215), 6to4
    (RFC 3056), Teredo (RFC 4380: the server, and the client inverted), ISATAP (RFC 5214).
    """
    if isinstance(address, IPv4Address):
        return
    value = int(address)
    if any(address in network for network in _LOW_32_BITS) and value > 1:
        yield IPv4Address(value & 0xFFFFFFFF)
    elif address in _LOCAL_NAT64:
        yield from _translated(value, opened_prefix)
    elif address in _SIX_TO_FOUR:
        yield IPv4Address((value >> 80) & 0xFFFFFFFF)
    elif address in _TEREDO:
        yield IPv4Address((value >> 64) & 0xFFFFFFFF)
        yield IPv4Address(~value & 0xFFFFFFFF)
    elif (value >> 32) & 0xFFFFFFFF in _ISATAP_IDS:
        yield IPv4Address(value & 0xFFFFFFFF)


def _translated(value: int, opened_prefix: int) -> Iterator[IPv4Address]:
    """What translators with each prefix that fits make of an address (RFC 6052, section 2.2).

    Bits 64 to 71 are passed over, and what follows the IPv4 address is ignored. Where a reading
    finds the bits of the prefix or the suffix of another, most are zero: 0/8 leads nowhere.
    """
    readings = {
        48: (value >> 64 & 0xFFFF) << 16 | value >> 40 & 0xFFFF,
        56: (value >> 64 & 0xFF) << 24 | value >> 32 & 0xFFFFFF,
        64: value >> 24 & 0xFFFFFFFF,
        96: value & 0xFFFFFFFF,
    }
    narrowest = min(opened_prefix, 96)
    found = [IPv4Address(readings[n]) for n in _LOCAL_NAT64_PREFIXES if n >= narrowest]
    somewhere = [address for address in found if address not in _THIS_NETWORK]
    yield from somewhere or found
