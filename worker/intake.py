"""Intake permits: how many messages may be asked for, and by which queue's poll.

A permit is reserved before a receive, for exactly the messages asked for, so that concurrent
polls never overshoot. It is given back when its job is scored.

One job may wait for each slot, downloaded. While the queue has a backlog more may, for as much
work as a slot does in `READ_AHEAD_S`: a receive then brings many messages, and costs no more than
for one. Without a backlog other workers are idle, and what is read ahead here would wait where
they could begin at once.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Final

READ_AHEAD_PER_SLOT: Final = 1
"""Jobs that may wait, downloaded, for each analysis slot, so that a slot is never idle."""

READ_AHEAD_S: Final = 1.0
"""Jobs of a backlog that may wait for each slot, by the time that they will take."""

MAX_READ_AHEAD: Final = 20
"""Jobs that may wait in all, where there are fewer slots: two full receives."""

BACKLOG_HOLD_S: Final = 1.0
"""How long a higher queue that has just filled a receive is given to fill the next."""

FORGETTING: Final = 0.2
"""The share of the last job in the time that jobs are taken to need."""


@dataclass
class _Waiter:
    rank: int
    most: int
    granted: asyncio.Future[int] = field(repr=False)


class Intake:
    """Permits shared by the polls of several queues, highest priority first.

    Parameters
    ----------
    slots
        Analysis processes; the permits are these, a read-ahead of one for each, and one for the
        poll of each queue but one.
    ranks
        Number of queues; rank 0 is served first.
    reserve
        The share of permits that the lower queues together are sure of, at least one each while
        there are two permits or more.
    """

    def __init__(self, slots: int, *, ranks: int = 1, reserve: float = 0.1) -> None:
        self._ranks = ranks
        self._reserve = reserve
        self._in_use = [0] * ranks
        self._has_backlog = [False] * ranks
        self._holds: dict[int, asyncio.TimerHandle] = {}
        self._waiters: list[_Waiter] = []
        self._slots = slots
        self._job_s: float | None = None
        self._takes_many = False
        self._reads_ahead = False
        self._ahead = 0
        self._capacity = 0
        self.resize(slots)

    @property
    def capacity(self) -> int:
        """Permits in all."""
        return self._capacity

    @property
    def slots(self) -> int:
        """Analysis processes."""
        return self._slots

    @property
    def in_use(self) -> int:
        """Permits that are out."""
        return sum(self._in_use)

    def resize(self, slots: int) -> None:
        """Change the number of slots; permits that are out run out by themselves."""
        self._slots = slots
        self._fit()
        self._serve()

    def slot_was_held(self, seconds: float) -> None:
        """Take note of how long a job held its slot."""
        known = seconds if self._job_s is None else self._job_s
        self._job_s = known + FORGETTING * (seconds - known)
        self._fit()

    def _fit(self) -> None:
        """Size the read-ahead to the backlog and the jobs."""
        ahead = self._slots * READ_AHEAD_PER_SLOT
        if self._reads_ahead and self._job_s is not None:
            wanted = self._slots * READ_AHEAD_S / max(self._job_s, READ_AHEAD_S / MAX_READ_AHEAD)
            ahead = max(ahead, min(round(wanted), MAX_READ_AHEAD))
        # The poll of an idle queue holds a permit of its own, or the idle polls of some would keep
        # jobs of the others from the slots.
        self._ahead = ahead
        self._capacity = self._slots + ahead + self._ranks - 1

    @property
    def least(self) -> int:
        """Permits that must be free before any is granted: half of the read-ahead.

        The other half still keeps every slot busy, whatever permits the idle polls of other
        queues hold; and a receive brings several messages where one by one would cost more.
        """
        return max(1, self._ahead // 2)

    def assured(self, rank: int) -> int:
        """Permits that a queue is sure of even while higher ones have a backlog."""
        if rank == 0 or self._ranks == 1:
            return 0
        lower = self._ranks - 1
        total = max(lower, math.ceil(self._capacity * self._reserve))
        return min(total // lower, max(0, (self._capacity - 1) // lower))

    def grantable(self, rank: int) -> int:
        """Permits that this rank could have now."""
        free = self._capacity - self.in_use
        own = min(free, max(0, self.assured(rank) - self._in_use[rank]))
        if any(held < rank for held in self._holds):
            return own
        kept_for_others = sum(
            max(0, self.assured(other) - self._in_use[other])
            for other in range(self._ranks)
            if other != rank
        )
        return max(own, free - kept_for_others, 0)

    def received(self, rank: int, *, asked: int, got: int) -> None:
        """Say what a receive brought: as many as asked for means that there are more.

        What then comes free while the next receive is under way is kept for it, for as long as a
        queue with a backlog takes to answer, so that a slow answer does not turn the order round.

        Only of the first queue more is read ahead then: jobs of a lower one would stand in the way
        of a higher one's. SQS may give less than it has, so more than the slots can take at once
        counts as a backlog too. Where one message is all that may be asked for, as of a FIFO
        queue, reading ahead would save no receive.
        """
        self._has_backlog[rank] = got >= asked
        if rank == 0:
            self._reads_ahead = self._takes_many and (got >= asked or got > self._slots)
            self._fit()
        if not self._has_backlog[rank]:
            self._end_hold(rank)

    def _hold(self, rank: int) -> None:
        """Keep what comes free for a queue that receives just now."""
        if (timer := self._holds.pop(rank, None)) is not None:
            timer.cancel()
        if self._has_backlog[rank] and rank < self._ranks - 1:
            loop = asyncio.get_running_loop()
            self._holds[rank] = loop.call_later(BACKLOG_HOLD_S, self._end_hold, rank)

    def _end_hold(self, rank: int) -> None:
        if (timer := self._holds.pop(rank, None)) is not None:
            timer.cancel()
            self._serve()

    async def acquire(self, rank: int, most: int) -> int:
        """Wait until at least one permit is free for this rank; take up to `most`."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(rank, most, loop.create_future())
        self._waiters.append(waiter)
        self._serve()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self.release(rank, waiter.granted.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def release(self, rank: int, count: int = 1) -> None:
        """Give permits back."""
        self._in_use[rank] -= count
        self._serve()

    def _serve(self) -> None:
        """Grant what is free: first to a lower queue below its share, then by priority."""
        if self._capacity - self.in_use < self.least:
            return
        for waiter in sorted(
            self._waiters,
            key=lambda w: (self._in_use[w.rank] >= self.assured(w.rank), w.rank),
        ):
            if waiter.granted.done():
                continue
            count = min(waiter.most, self.grantable(waiter.rank))
            if count > 0:
                self._in_use[waiter.rank] += count
                if waiter.rank == 0:
                    self._takes_many = waiter.most > 1
                waiter.granted.set_result(count)
                self._hold(waiter.rank)
