"""Connections to consumers: dialled at a checked address, kept by host name, and not too many.

Kept by name and never by address: a URL rewritten to its checked IP address would share one TLS
connection among all names on that address, and only the first name's certificate would ever be
looked at. So a connection belongs to the name in the URL, and the checked address is dialled
underneath: names are resolved by the guard alone, and no socket is made for an address to which it
objects.

aiohttp bounds the connections that are in use and not those that are idle, and closes idle ones
all together. So there is a session for each origin, and the one that was used least recently is
closed when too many connections may be open.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import NEEDS_CLEANUP_CLOSED

from worker.netguard import Address, NetGuard

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT_S: Final = 4.0
"""One round of a host's addresses, and TLS; where TLS does not end, a round follows with one
address less. All within the time of the whole exchange."""

NEXT_ADDRESS_S: Final = 0.25
"""The next address is tried beside one that has not answered for so long (RFC 8305, section 5)."""

MAX_ADDRESSES: Final = 3
"""Addresses of a host that are tried, so that a dead one of two zones costs no delivery."""

KEEPALIVE_S: Final = 30.0
"""A connection that has waited for longer is not used again: below the 60 s and more of load
balancers, which would otherwise close it under a request."""

FORGOTTEN_S: Final = 2 * KEEPALIVE_S
"""aiohttp looks for connections that have waited too long as often as that: then none is open."""


class CheckedResolver(AbstractResolver):
    """Gives the addresses that the guard resolved and checked, and no others."""

    def __init__(self, guard: NetGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve and check; the guard's refusal passes through."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in _in_turn(await self._guard.addresses(host, port))[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The families of a host by turns, each in the system's order, the first one's first.

    Else the dead addresses of one family would use up all that are tried (RFC 8305, section 4).
    """
    first = [address for address in addresses if address.version == addresses[0].version]
    other = [address for address in addresses if address.version != addresses[0].version]
    turns = zip_longest(first, other)
    return [address for turn in turns for address in turn if address is not None]


class Dialling:
    """Whether a connection was made for the requests of the task that entered this."""

    def __init__(self) -> None:
        self.is_new = False

    def __enter__(self) -> Self:
        self._token = _dialling.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _dialling.reset(self._token)


_dialling: ContextVar[Dialling | None] = ContextVar("dialling", default=None)


class Session:
    """The connections to one origin: HTTP/1.1, one request at a time on each.

    Parameters
    ----------
    is_for_one
        For one request: its connection is new, and is closed after it.
    """

    def __init__(
        self, guard: NetGuard, ssl_context: ssl.SSLContext, *, is_for_one: bool = False
    ) -> None:
        def checked_socket(info: Any) -> socket.socket:
            # An address in the URL itself is not resolved, and so was not checked before.
            family, kind, protocol, _, place = info
            guard.check(place[0])
            if dialling := _dialling.get():
                dialling.is_new = True
            return socket.socket(family, kind, protocol)

        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=CheckedResolver(guard),
                use_dns_cache=False,
                socket_factory=checked_socket,
                happy_eyeballs_delay=NEXT_ADDRESS_S,
                ssl=ssl_context,
                keepalive_timeout=None if is_for_one else KEEPALIVE_S,
                force_close=is_for_one,
                limit=0,  # whoever sends bounds them
                # A peer that does not answer the end of TLS would keep the socket for 30 s.
                enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer cannot become a large one
            trust_env=False,  # a proxy would dial what the guard has not seen
        )
        self.in_use = 0
        self._most = 0
        self._left_at_s = 0.0

    @property
    def idle(self) -> int:
        """Connections that may be open and wait for a request.

        aiohttp takes the one that has waited longest, and so keeps all of them while there is
        traffic: as many as were ever in use at once.
        """
        return self._most - self.in_use

    def enter(self) -> None:
        """Count a request that begins."""
        if not self.in_use and _now_s() - self._left_at_s > FORGOTTEN_S:
            self._most = 0
        self.in_use += 1
        self._most = max(self._most, self.in_use)

    def leave(self) -> None:
        """Count a request that has ended."""
        self.in_use -= 1
        self._left_at_s = _now_s()


class Connections:
    """The sessions with all consumers, least recently used first.

    Parameters
    ----------
    max_idle
        Connections that may wait for a request, over all origins.
    """

    def __init__(self, guard: NetGuard, ssl_context: ssl.SSLContext, *, max_idle: int) -> None:
        self._guard = guard
        self._ssl_context = ssl_context
        self._max_idle = max_idle
        self._idle = 0
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    @asynccontextmanager
    async def to(self, origin: str) -> AsyncIterator[aiohttp.ClientSession]:
        """Use the session with an origin, for one request."""
        session = self._sessions.get(origin)
        if session is None:
            session = self._sessions[origin] = Session(self._guard, self._ssl_context)
        self._sessions.move_to_end(origin)
        self._idle -= session.idle
        session.enter()
        self._idle += session.idle
        try:
            yield session.http
        finally:
            session.leave()
            self._idle += 1
            if self._idle > self._max_idle:
                await self._close_some()

    @asynccontextmanager
    async def afresh(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Use a session with no connection yet, which keeps none."""
        async with Session(self._guard, self._ssl_context, is_for_one=True).http as http:
            yield http

    async def aclose(self) -> None:
        """Close every session."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.http.close()
        self._idle = 0

    async def _close_some(self) -> None:
        for origin, session in list(self._sessions.items()):
            if session.in_use or self._sessions.get(origin) is not session:
                continue
            self._idle -= session.idle
            del self._sessions[origin]
            await session.http.close()
            if self._idle <= self._max_idle:
                return


def _now_s() -> float:
    return asyncio.get_running_loop().time()
