"""Name look-ups that cannot hold each other up: one thread and one answer for each name."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Final, Protocol

MAX_LOOKUPS: Final = 32
"""Look-ups under way at once. One name takes one thread however many events wait for it, so a
dead name server of one consumer leaves the rest to the others."""


class Resolver(Protocol):
    """Turns a host name into addresses, as text; raises OSError when it cannot."""

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """Every address of `host`, best first."""
        ...


class SystemResolver:
    """The operating system's resolver (`getaddrinfo`), asked on daemon threads.

    The event loop's own `getaddrinfo` shares a small pool of threads among all names, and a thread
    of that pool that waits for a dead name server would also hold up the end of the process.
    """

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], asyncio.Future[tuple[str, ...]]] = {}

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """Look a name up, or join the look-up of the same name that is under way."""
        key = (host, port)
        future = self._under_way.get(key)
        if future is None:
            if len(self._under_way) >= MAX_LOOKUPS:
                raise OSError(f"{MAX_LOOKUPS} name look-ups are under way and none ends")
            future = self._start(key)
        # Shielded: a caller whose time is up must not end the look-up of the others.
        return await asyncio.shield(future)

    def _start(self, key: tuple[str, int]) -> asyncio.Future[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[str, ...]] = loop.create_future()
        self._under_way[key] = future

        def settle(outcome: tuple[str, ...] | OSError) -> None:
            del self._under_way[key]
            if future.done():
                return
            if isinstance(outcome, OSError):
                future.set_exception(outcome)
                future.exception()  # seen, also when every caller has given up
            else:
                future.set_result(outcome)

        def look_up() -> None:
            try:
                outcome: tuple[str, ...] | OSError = _addresses(*key)
            except OSError as error:
                outcome = error
            except UnicodeError:
                outcome = OSError("the name cannot be encoded")
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, outcome)

        threading.Thread(target=look_up, name=f"resolve-{key[0][:40]}", daemon=True).start()
        return future


def _addresses(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    # dict, not set: the system's order (RFC 6724) is the order in which to dial.
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
