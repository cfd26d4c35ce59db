"""Leases: a received message stays invisible for as long as its job is worked on.

SQS accepts a ChangeMessageVisibility for a handle that has expired, so an accepted renewal proves
nothing. A lease is lost when its last successful renewal is older than the visibility timeout on
the monotonic clock, or when its message is received again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Final

from worker.logs import get_logger
from worker.queue import Message
from worker.quotas import MAX_BATCH, MAX_VISIBILITY_S

if TYPE_CHECKING:
    from worker.metrics import Metrics

RENEWALS_PER_TIMEOUT: Final = 3
"""A lease is renewed every third of its visibility timeout: two renewals may fail."""

SETTLE_SHARE: Final = 0.1
"""The share of the job timeout kept for settling a job whose time ran out."""

RECEIPT_MARGIN_S: Final = 5.0
"""SQS counts its twelve hours from when it hands a message out, which is before it arrives."""

log = get_logger()


class Lease:
    """The right to work on one message until `expires_at` (monotonic, seconds)."""

    def __init__(self, message: Message, *, now: float, visibility_s: float, job_timeout_s: float):
        self.message = message
        self.taken_at = now
        self.renewed_at = now
        self.expires_at = now + visibility_s
        self.ends_at = now + job_timeout_s
        self.is_released = False
        self.is_being_deleted = False
        self.lost_by: str | None = None
        self._on_lost: Callable[[], object] | None = None

    @property
    def work_until(self) -> float:
        """When work must stop so that the job can still be settled under this lease."""
        return self.ends_at - SETTLE_SHARE * (self.ends_at - self.taken_at)

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the lease is lost; at once if it is already."""
        self._on_lost = callback
        if self.lost_by is not None:
            callback()

    def lose(self, reason: str) -> None:
        """Mark the lease as lost."""
        if self.lost_by is None and not self.is_released:
            self.lost_by = reason
            if self._on_lost is not None:
                self._on_lost()


class LeaseKeeper:
    """Renews every held lease in time, ten to a call, and says when one is lost."""

    def __init__(
        self,
        *,
        visibility_s: int,
        job_timeout_s: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.visibility_s = visibility_s
        self.job_timeout_s = min(job_timeout_s, MAX_VISIBILITY_S - RECEIPT_MARGIN_S)
        self._metrics = metrics
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._changed = asyncio.Event()

    def take(self, message: Message) -> Lease:
        """Begin a lease on a message just received.

        If the same message is still held, SQS has handed it out again: the older lease is lost.
        """
        if (older := self._held.get(message.message_id)) is not None:
            self._lose(older, "came_back")
        lease = Lease(
            message,
            now=self._clock(),
            visibility_s=self.visibility_s,
            job_timeout_s=self.job_timeout_s,
        )
        self._held[message.message_id] = lease
        self._changed.set()
        return lease

    def release(self, lease: Lease) -> None:
        """Stop renewing; before a back-off sets the visibility, or once the job is settled."""
        lease.is_released = True
        if self._held.get(lease.message.message_id) is lease:
            del self._held[lease.message.message_id]

    def is_held(self, lease: Lease) -> bool:
        """Whether the lease is still good at this moment; asked right before settling."""
        if lease.lost_by is None and self._clock() >= lease.expires_at:
            self._lose(lease, "expired")
        return lease.lost_by is None

    def visibility_left_s(self, lease: Lease) -> float:
        """Seconds for which its message may still be kept invisible: SQS refuses any more."""
        return MAX_VISIBILITY_S - RECEIPT_MARGIN_S - (self._clock() - lease.taken_at)

    def __len__(self) -> int:
        return len(self._held)

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            self._changed.clear()
            pause = await self.renew_due()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def renew_due(self) -> float | None:
        """Renew what is due; seconds until the next one is, None if none is held."""
        now = self._clock()
        for lease in list(self._held.values()):
            self.is_held(lease)
        every = self.visibility_s / RENEWALS_PER_TIMEOUT
        due = [
            lease
            for lease in self._held.values()
            if now - lease.renewed_at >= every and lease.expires_at < lease.ends_at
        ]
        if due:
            await asyncio.gather(*(self._renew(batch) for batch in _batches(due)))
        if not self._held:
            return None
        soonest = min(
            min(max(lease.renewed_at, now - every / 2) + every, lease.expires_at)
            for lease in self._held.values()
        )
        return max(0.05, soonest - self._clock())

    async def _renew(self, leases: list[Lease]) -> None:
        asked_at = self._clock()
        seconds = [
            max(1, math.floor(min(self.visibility_s, lease.ends_at - asked_at))) for lease in leases
        ]
        try:
            async with asyncio.timeout(self.visibility_s / RENEWALS_PER_TIMEOUT):
                accepted = await leases[0].message.queue.extend(
                    [lease.message for lease in leases], seconds
                )
        except Exception as error:  # whatever it is, the other leases are still to be kept
            log.warning("lease_renewal_failed", leases=len(leases), error=type(error).__name__)
            return
        renewed = 0
        for lease, extra, ok in zip(leases, seconds, accepted, strict=True):
            if ok and not lease.is_released:
                lease.renewed_at = asked_at
                lease.expires_at = asked_at + extra
                renewed += 1
        self._metrics.lease_renewed(renewed)

    def _lose(self, lease: Lease, reason: str) -> None:
        self._held.pop(lease.message.message_id, None)
        if lease.lost_by is None and not lease.is_released:
            log.warning("lease_lost", message_id=lease.message.message_id, reason=reason)
            self._metrics.lease_lost(reason)
            lease.lose(reason)


def _batches(leases: Iterable[Lease]) -> list[list[Lease]]:
    """Split by queue, ten to a call."""
    ordered = sorted(leases, key=lambda lease: lease.message.queue.url)
    batches = []
    for _, group in groupby(ordered, key=lambda lease: lease.message.queue.url):
        same_queue = list(group)
        batches += [same_queue[i : i + MAX_BATCH] for i in range(0, len(same_queue), MAX_BATCH)]
    return batches
