"""The bulkhead between consumers: how many events may be on their way, and to whom.

All places together are `DELIVERY_CONCURRENCY`. A consumer that is alone may take them all. Where
there are several, each may take three quarters of what the others leave, so that a consumer which
hangs finds an end while the others still have places, and a second one that hangs after it, too.

A consumer with no place left makes its further events wait while it answers, however slowly; when
it has answered nothing for `patience_s` they are turned away at once, to come back by the queue.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from worker.remembered import Remembered

SHARE: Final = 0.75
"""The part of the places left by the others that one consumer may take."""

BACKGROUND_SHARE: Final = 0.5
"""Progress takes no place beyond this part, so that results always find one."""


class Crowded(Exception):
    """The consumer has all the places it may have, and answers nothing."""


@dataclass(eq=False)
class _Compartment:
    in_flight: int = 0
    last_sign_s: float = 0.0
    """When it last answered, or when the first of what is now on its way set out."""
    seen_s: float = 0.0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    @property
    def is_idle(self) -> bool:
        return not self.in_flight and not self.waiting


class Bulkhead:
    """Gives out places, fairly by consumer and in order of arrival within one.

    Parameters
    ----------
    places
        Events on their way at once, over all consumers.
    patience_s
        How long a consumer may answer nothing before its further events are turned away.
    """

    def __init__(
        self, places: int, *, patience_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = places
        self._patience_s = patience_s
        self._clock = clock
        self._in_flight = 0
        self._consumers: Remembered[_Compartment] = Remembered()
        self._queue: deque[_Compartment] = deque()
        """Those with somebody waiting, in the order in which their turn comes."""

    @property
    def in_flight(self) -> int:
        """Events on their way now."""
        return self._in_flight

    @asynccontextmanager
    async def place(self, consumer: str) -> AsyncIterator[None]:
        """Hold a place, waiting for it while the consumer answers.

        Raises
        ------
        Crowded
            The consumer's places are all taken and it answers nothing.
        """
        compartment = self._compartment(consumer)
        if compartment.waiting or not self._has_place(compartment):
            await self._wait(compartment)
        else:
            self._take(compartment)
        try:
            yield
        finally:
            self._leave(compartment)

    @asynccontextmanager
    async def spare_place(self, consumer: str) -> AsyncIterator[bool]:
        """Hold a place if one is to spare now; yields whether it is."""
        compartment = self._compartment(consumer)
        spare = (
            not compartment.waiting
            and self._in_flight < self._places * BACKGROUND_SHARE
            and self._has_place(compartment)
        )
        if spare:
            self._take(compartment)
        try:
            yield spare
        finally:
            if spare:
                self._leave(compartment)

    def answered(self, consumer: str) -> None:
        """Note that a consumer answered something, whatever it was."""
        if compartment := self._consumers.get(consumer):
            compartment.last_sign_s = self._clock()

    def _compartment(self, consumer: str) -> _Compartment:
        return self._consumers.seen(consumer, _Compartment, now=self._clock())

    def _has_place(self, compartment: _Compartment) -> bool:
        if self._in_flight >= self._places:
            return False
        if len(self._consumers) == 1:
            return True
        left_by_others = self._places - (self._in_flight - compartment.in_flight)
        return compartment.in_flight < max(1, math.ceil(left_by_others * SHARE))

    def _take(self, compartment: _Compartment) -> None:
        if compartment.in_flight == 0:
            compartment.last_sign_s = self._clock()
        compartment.in_flight += 1
        self._in_flight += 1

    def _leave(self, compartment: _Compartment) -> None:
        compartment.in_flight -= 1
        self._in_flight -= 1
        self._hand_on()

    def _hand_on(self) -> None:
        """Give free places to those who wait: one for each consumer in turn, over and over."""
        passed_over = 0
        while self._in_flight < self._places and passed_over < len(self._queue):
            compartment = self._queue.popleft()
            if not self._has_place(compartment):
                self._queue.append(compartment)
                passed_over += 1
                continue
            passed_over = 0
            self._take(compartment)
            compartment.waiting.popleft().set_result(None)
            if compartment.waiting:
                self._queue.append(compartment)

    async def _wait(self, compartment: _Compartment) -> None:
        """Wait for a place; on return it is taken."""
        self._turn_away_if_hanging(compartment)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not compartment.waiting:
            self._queue.append(compartment)
        compartment.waiting.append(turn)
        try:
            while not turn.done():
                await asyncio.wait((turn,), timeout=self._patience_s)
                if not turn.done():
                    self._turn_away_if_hanging(compartment)
        except BaseException:
            # Cancelled or turned away; a place that was handed over meanwhile goes on.
            if turn.done():
                self._leave(compartment)
            else:
                compartment.waiting.remove(turn)
                if not compartment.waiting:
                    self._queue.remove(compartment)
            raise

    def _turn_away_if_hanging(self, compartment: _Compartment) -> None:
        silent_s = self._clock() - compartment.last_sign_s
        if compartment.in_flight and silent_s >= self._patience_s:
            raise Crowded
