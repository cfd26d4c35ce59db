"""Connections to consumers: dialled at a checked address, kept by host name, closed for certain.

Kept by name and never by address: a URL rewritten to its checked IP address would share one TLS
connection among all names on that address, and only the first name's certificate would ever be
looked at. So a connection belongs to the name in the URL, and the checked address is dialled
underneath, in the network backend.

httpcore's own pool is not used, because a request that is cancelled while its connection opens
leaves that connection in the pool for good (httpcore 1.0.9, issue 1093), and here every time-out is
a cancellation. A connection has one owner at a time; whoever fails with it closes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import httpcore

from worker.netguard import NetGuard

CONNECT_TIMEOUT_S: Final = 4.0
"""One address of a host; within the time of the whole exchange."""

MAX_ADDRESSES: Final = 3
"""Addresses of a host that are tried, so that a dead one of two zones costs no delivery."""

KEEPALIVE_S: Final = 30.0
"""Idle connections are closed after this: below the 60 s and more of load balancers, which would
otherwise close them under a request."""


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Dials one connection, at an address that the guard resolved and checked, and at no other."""

    def __init__(self, guard: NetGuard) -> None:
        self._guard = guard
        self._dialler = httpcore.AnyIOBackend()
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect; the guard's refusal passes through."""
        addresses = await self._guard.addresses(host, port)
        limit_s = CONNECT_TIMEOUT_S if timeout is None else min(timeout, CONNECT_TIMEOUT_S)
        failure: Exception | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                self._stream = await self._dialler.connect_tcp(
                    str(address),
                    port,
                    timeout=limit_s,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return self._stream
        raise failure or httpcore.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        """Wait; part of httpcore's interface."""
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Close what was dialled, also where TLS was cut off and httpcore has forgotten it."""
        if self._stream is not None:
            await self._stream.aclose()


class Connection:
    """One connection to one origin, with one request on it at a time: HTTP/1.1, no retries."""

    def __init__(
        self, origin: httpcore.Origin, guard: NetGuard, ssl_context: ssl.SSLContext
    ) -> None:
        self.origin = origin
        self.is_new = True
        self._backend = PinnedBackend(guard)
        self._http = httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=ssl_context,
            keepalive_expiry=KEEPALIVE_S,
            http1=True,
            http2=False,  # one stalled HTTP/2 connection would stall all events to its host
            retries=0,
            network_backend=self._backend,
        )

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent: idle, not too old, and not closed over there."""
        return self._http.is_idle() and not self._http.is_closed() and not self._http.has_expired()

    async def send(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, connecting first if need be; the answer's body is streamed."""
        answer = await self._http.handle_async_request(request)
        self.is_new = False
        return answer

    async def aclose(self) -> None:
        """Close it, whatever state it is in."""
        try:
            await self._http.aclose()
        finally:
            await self._backend.aclose()


class Connections:
    """The idle connections, newest first for each origin.

    Parameters
    ----------
    max_idle
        Over all origins; beyond it the one that has been idle for longest is closed.
    """

    def __init__(self, guard: NetGuard, ssl_context: ssl.SSLContext, *, max_idle: int) -> None:
        self._guard = guard
        self._ssl_context = ssl_context
        self._max_idle = max_idle
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._by_origin: dict[tuple[bytes, bytes, int], list[Connection]] = {}

    @property
    def idle_count(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    async def take(self, origin: httpcore.Origin) -> Connection:
        """A connection that is the caller's alone until it is given back or closed."""
        kept = self._by_origin.get(_key(origin), [])
        while kept:
            connection = kept[-1]
            self._forget(connection)
            if connection.is_reusable:
                return connection
            await connection.aclose()
        return self.new(origin)

    def new(self, origin: httpcore.Origin) -> Connection:
        """A connection that is not open yet."""
        return Connection(origin, self._guard, self._ssl_context)

    async def give_back(self, connection: Connection) -> None:
        """Keep a connection for another request, if it is good for one; close it otherwise."""
        if not connection.is_reusable:
            await connection.aclose()
            return
        self._idle[connection] = None
        self._by_origin.setdefault(_key(connection.origin), []).append(connection)
        while len(self._idle) > self._max_idle:
            oldest = next(iter(self._idle))
            self._forget(oldest)
            await oldest.aclose()

    async def aclose(self) -> None:
        """Close every idle connection."""
        while self._idle:
            connection = next(iter(self._idle))
            self._forget(connection)
            await connection.aclose()

    def _forget(self, connection: Connection) -> None:
        del self._idle[connection]
        key = _key(connection.origin)
        self._by_origin[key].remove(connection)
        if not self._by_origin[key]:
            del self._by_origin[key]


def _key(origin: httpcore.Origin) -> tuple[bytes, bytes, int]:
    return origin.scheme, origin.host, origin.port
