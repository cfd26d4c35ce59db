"""Name look-ups that cannot hold each other up: one thread and one answer for each name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

MAX_LOOKUPS: Final = 32
"""Look-ups under way at once. One name takes one thread however many events wait for it."""

MAX_LOOKUPS_OF_A_DOMAIN: Final = 4
"""Of these, of one domain: whose name server is dead, however many names it has, leaves the rest to
the others."""

SUFFIX_LETTERS: Final = 3
"""A second level of so few letters below a country's two, as in "co.uk" and "com.au", is a
registry's and not somebody's own."""

OVERDUE_S: Final = 5.0
"""A look-up that has taken so long waits for a dead name server, and counts no longer: it may take
half a minute until the system gives it up."""

MAX_THREADS: Final = 4 * MAX_LOOKUPS
"""Threads in all, those that are overdue too."""


class Resolver(Protocol):
    """Turns a host name into addresses, as text; raises OSError when it cannot."""

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """Every address of `host`, best first."""
        ...


@dataclass(eq=False)
class _Lookup:
    host: str
    port: int
    answer: asyncio.Future[tuple[str, ...]]
    callers: int = 0
    is_started: bool = False
    overdue: asyncio.TimerHandle | None = None
    """Set while it counts."""

    @property
    def domain(self) -> str:
        """The labels of the name that are taken to be one owner's."""
        labels = self.host.split(".")
        is_suffix = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= SUFFIX_LETTERS
        return ".".join(labels[-3 if is_suffix else -2 :])


class SystemResolver:
    """The operating system's resolver (`getaddrinfo`), asked on daemon threads.

    The event loop's own `getaddrinfo` shares a small pool of threads among all names, and a thread
    of that pool that waits for a dead name server would also hold up the end of the process.
    """

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        """In order of arrival; those for which there is no thread yet, too."""
        self._counted: Counter[str] = Counter()
        """Look-ups that count, by domain."""
        self._threads = 0

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """Look a name up, or join the look-up of the same name; waits for a thread if need be."""
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = _Lookup(host, port, asyncio.get_running_loop().create_future())
            self._lookups[host, port] = lookup
            self._start_what_may()
        lookup.callers += 1
        try:
            # Shielded: a caller whose time is up must not end the look-up of the others.
            return await asyncio.shield(lookup.answer)
        finally:
            lookup.callers -= 1
            if not lookup.callers and not lookup.is_started:
                self._forget(lookup)  # nobody waits for it any more

    def _start_what_may(self) -> None:
        """Start the look-ups that there is a thread for, in order of arrival."""
        for lookup in list(self._lookups.values()):
            if self._threads >= MAX_THREADS or self._counted.total() >= MAX_LOOKUPS:
                return
            if not lookup.is_started and self._counted[lookup.domain] < MAX_LOOKUPS_OF_A_DOMAIN:
                self._start(lookup)

    def _start(self, lookup: _Lookup) -> None:
        loop = asyncio.get_running_loop()

        def look_up() -> None:
            try:
                outcome: tuple[str, ...] | OSError = _addresses(lookup.host, lookup.port)
            except OSError as error:
                outcome = error
            except UnicodeError:
                outcome = OSError("the name cannot be encoded")
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._ended, lookup, outcome)

        lookup.is_started = True
        thread = threading.Thread(target=look_up, name=f"resolve-{lookup.host[:40]}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._settle(
                lookup, OSError("no thread can be started for it; raise the limit of threads")
            )
            return
        self._threads += 1
        self._counted[lookup.domain] += 1
        lookup.overdue = loop.call_later(OVERDUE_S, self._is_overdue, lookup)

    def _is_overdue(self, lookup: _Lookup) -> None:
        self._count_off(lookup)
        self._start_what_may()

    def _count_off(self, lookup: _Lookup) -> None:
        if lookup.overdue is None:
            return
        lookup.overdue.cancel()
        lookup.overdue = None
        self._counted[lookup.domain] -= 1
        if not self._counted[lookup.domain]:
            del self._counted[lookup.domain]  # names come out of messages, without end

    def _ended(self, lookup: _Lookup, outcome: tuple[str, ...] | OSError) -> None:
        self._threads -= 1
        self._count_off(lookup)
        self._settle(lookup, outcome)
        self._start_what_may()

    def _settle(self, lookup: _Lookup, outcome: tuple[str, ...] | OSError) -> None:
        self._forget(lookup)
        if lookup.answer.done():
            return
        if isinstance(outcome, OSError):
            lookup.answer.set_exception(outcome)
            lookup.answer.exception()  # seen, also when every caller has given up
        else:
            lookup.answer.set_result(outcome)

    def _forget(self, lookup: _Lookup) -> None:
        if self._lookups.get((lookup.host, lookup.port)) is lookup:
            del self._lookups[lookup.host, lookup.port]


def _addresses(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    # dict, not set: the system's order (RFC 6724) is the order in which to dial.
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
