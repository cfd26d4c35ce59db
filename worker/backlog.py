"""The backlog: scored jobs on their way to a consumer, and how many of them one consumer may have.

It bounds the memory of scored jobs, over all consumers. Of the places that the others leave, one
consumer may take a half, and so one that is slow or paced leaves some to those that are not. What
comes beyond its part

- waits here, and with it, once every permit is held by such jobs, the polling: SQS then does the
  waiting, and it costs a job no receive. So it is while no other consumer is known;
- goes back to the queue where there are others, whose jobs would wait as well, to come back when
  its consumer should have a place for it. A job does so with its first receive alone: the others
  are for real failures. From then on it waits here, and may take three quarters.

What goes to no consumer, but to a results queue or to nobody, has a place like any other; it is not
another consumer, and no share bounds it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from worker.failures import MAX_RECEIVES_OF_A_LOST_PROCESS
from worker.ratelimit import MAX_WAIT_S
from worker.remembered import Remembered

SHARE: Final = 0.5
"""The part of the places left by the others that a consumer's jobs may take."""

LAST_SHARE: Final = 0.75
"""The same for jobs that cannot go back to the queue, and for a consumer that is alone."""

NO_CONSUMER: Final = ""
"""The name of those whose events go to no webhook."""

FORGETTING: Final = 0.1
"""The share of the last event in the time that a consumer is taken to need for one."""

MAX_AHEAD_S: Final = 900.0
"""Nobody is sent away for longer: what is known of a consumer is hardly true for as long."""


class Full(Exception):
    """The consumer has all the places that it may have, and others are there.

    Parameters
    ----------
    retry_after_s
        When it should have one; None as long as nothing is known of its pace.
    """

    def __init__(self, retry_after_s: float | None) -> None:
        super().__init__("the consumer has as many events waiting as it may")
        self.retry_after_s = retry_after_s


def can_come_back(receive_count: int, max_receives: int | None) -> bool:
    """Whether a job may spend this receive on waiting in the queue.

    A crashed analysis is given up at a certain receive, whatever the ones before it were spent on:
    one must be left to try it again.
    """
    enough = max_receives is None or max_receives > MAX_RECEIVES_OF_A_LOST_PROCESS
    return receive_count == 1 and enough


@dataclass(eq=False)
class _Waiter:
    can_come_back: bool
    turn: asyncio.Future[None]


@dataclass(eq=False)
class _Consumer:
    held: int = 0
    line: deque[_Waiter] = field(default_factory=deque)
    seen_s: float = 0.0
    freed_s: float = 0.0
    """When the last place came free, or the first of these was taken."""
    interval_s: float | None = None
    """Between two places that come free, while it has events."""
    comeback_s: float = 0.0
    """When the last job that was sent away is to come back."""

    @property
    def is_idle(self) -> bool:
        return not self.held and not self.line


class Place:
    """One place, given back at the end of a `with` block."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()


class Backlog:
    """Gives out places, in turn among consumers and in order of arrival within one.

    Parameters
    ----------
    places
        Over all consumers.
    max_rps
        The pace of deliveries to one consumer: it has no more events here than it will be sent
        before anybody's patience with the pace ends.
    """

    def __init__(
        self,
        places: int,
        *,
        max_rps: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._most = places if max_rps is None else max(1, int(max_rps * MAX_WAIT_S))
        self._clock = clock
        self._taken = 0
        self._consumers: Remembered[_Consumer] = Remembered()
        self._queue: deque[_Consumer] = deque()
        """Those with somebody waiting, in the order in which their turn comes."""

    @property
    def taken(self) -> int:
        """Places that are out."""
        return self._taken

    def check(self, name: str, *, can_come_back: bool) -> None:
        """Ask before any work is done; raises `Full` where its event would be sent away."""
        self._admitted(name, can_come_back=can_come_back)

    async def place(self, name: str, *, can_come_back: bool) -> Place:
        """Take a place, waiting for it if need be.

        Parameters
        ----------
        can_come_back
            Whether the job may be sent back to the queue.

        Raises
        ------
        Full
            The consumer has its part, others are there, and the job can come back.
        """
        consumer = self._admitted(name, can_come_back=can_come_back)
        if consumer.line or not self._has_place(consumer, can_come_back=can_come_back):
            await self._wait(consumer, can_come_back=can_come_back)
        else:
            self._take(consumer)
        return Place(lambda: self._leave(consumer))

    def _admitted(self, name: str, *, can_come_back: bool) -> _Consumer:
        """The consumer, which is there now; raises `Full`."""
        is_new = name not in self._consumers and name != NO_CONSUMER
        consumer = self._consumers.seen(name, _Consumer, now=self._clock())
        if is_new:
            self._send_away()
        if can_come_back and self._is_over(consumer):
            raise Full(self._comeback_s(consumer))
        return consumer

    def _send_away(self) -> None:
        """Let nobody wait who need not, now that another consumer is there."""
        for consumer in list(self._queue):
            for waiter in list(consumer.line):
                if waiter.can_come_back and not waiter.turn.done() and self._is_over(consumer):
                    waiter.turn.set_exception(Full(self._comeback_s(consumer)))
                    self._drop(consumer, waiter)

    def _limit(self, consumer: _Consumer, *, can_come_back: bool) -> int:
        left_by_others = self._places - (self._taken - consumer.held)
        if consumer is self._consumers.get(NO_CONSUMER):
            return left_by_others
        share = SHARE if can_come_back and self._are_several else LAST_SHARE
        return min(self._most, max(1, math.ceil(left_by_others * share)))

    @property
    def _are_several(self) -> bool:
        return len(self._consumers) - (NO_CONSUMER in self._consumers) > 1

    def _has_place(self, consumer: _Consumer, *, can_come_back: bool) -> bool:
        limit = self._limit(consumer, can_come_back=can_come_back)
        return self._taken < self._places and consumer.held < limit

    def _is_over(self, consumer: _Consumer) -> bool:
        """Whether a further job that can come back would be beyond the consumer's part."""
        waiting = consumer.held + len(consumer.line)
        return self._are_several and waiting >= self._limit(consumer, can_come_back=True)

    def _comeback_s(self, consumer: _Consumer) -> float | None:
        """How long the next job that is sent away stays away: one after the other, in turn."""
        if consumer.interval_s is None:
            return None
        now = self._clock()
        turn_s = max(now, consumer.comeback_s) + consumer.interval_s
        consumer.comeback_s = min(turn_s, now + MAX_AHEAD_S)
        return consumer.comeback_s - now

    def _take(self, consumer: _Consumer) -> None:
        if consumer.held == 0:
            consumer.freed_s = self._clock()
        consumer.held += 1
        self._taken += 1

    def _leave(self, consumer: _Consumer) -> None:
        consumer.held -= 1
        self._taken -= 1
        now = self._clock()
        took_s = now - consumer.freed_s
        known_s = took_s if consumer.interval_s is None else consumer.interval_s
        consumer.interval_s = known_s + FORGETTING * (took_s - known_s)
        if known_s > 0.0:
            # As many are ahead as were, and the last of them is now seen to be due sooner or later.
            ahead_s = max(0.0, consumer.comeback_s - now) * consumer.interval_s / known_s
            consumer.comeback_s = now + min(ahead_s, MAX_AHEAD_S)
        consumer.freed_s = now
        self._hand_on()

    def _hand_on(self) -> None:
        """Give free places to those who wait: one for each consumer in turn, over and over."""
        passed_over = 0
        while self._taken < self._places and passed_over < len(self._queue):
            consumer = self._queue[0]
            first = consumer.line[0]
            if first.turn.done():  # cancelled in this very moment
                self._drop(consumer, first)
                continue
            if not self._has_place(consumer, can_come_back=first.can_come_back):
                self._queue.rotate(-1)
                passed_over += 1
                continue
            passed_over = 0
            self._queue.rotate(-1)
            self._drop(consumer, first)
            self._take(consumer)
            first.turn.set_result(None)

    def _drop(self, consumer: _Consumer, waiter: _Waiter) -> None:
        consumer.line.remove(waiter)
        if not consumer.line:
            self._queue.remove(consumer)

    async def _wait(self, consumer: _Consumer, *, can_come_back: bool) -> None:
        """Wait for a place; on return it is taken."""
        waiter = _Waiter(can_come_back, asyncio.get_running_loop().create_future())
        if not consumer.line:
            self._queue.append(consumer)
        consumer.line.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in consumer.line:
                self._drop(consumer, waiter)
            elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._leave(consumer)  # a place that was handed over meanwhile goes on
            raise
