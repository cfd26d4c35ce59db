"""Takes messages from the queues and has their jobs done, each under a lease.

    poll (one task a queue) ──> one task a message (worker/attempt.py): pipeline, settlement

A poll first reserves permits for exactly the messages it asks for. Draining: the polls end, what
has not started is handed back, what has started may finish.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from worker import logs
from worker.attempt import HAND_BACK_TIMEOUT_S
from worker.failures import classify
from worker.queue import Message, SqsError, new_attempt_id
from worker.quotas import MAX_BATCH
from worker.work import Work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from worker.attempt import Attempts
    from worker.ecs import TaskProtection
    from worker.intake import Intake
    from worker.lease import LeaseKeeper
    from worker.metrics import Metrics
    from worker.queue import Queue

POLL_ERROR_FIRST_S: Final = 1.0
POLL_ERROR_MAX_S: Final = 30.0

STALLED_WAIT_TIMES: Final = 3
"""A receive that is outstanding for this many wait times has stalled."""

LEAST_WAIT_FOR_STALL_S: Final = 10.0

EMPTY_WAIT_S: Final = 1
"""The long poll of a run that ends when the queue is empty."""

EMPTY_CHECKS: Final = 2
EMPTY_CHECK_PAUSE_S: Final = 0.5
"""SQS's counts are approximate: they are read twice before a queue is taken for empty."""

HAND_BACK_MARGIN_S: Final = 1.0
"""How much longer the drain waits for hand-backs and deletes than each hand-back may take."""

log = logs.get_logger()


class Consumer:
    """Polls the queues and runs the jobs.

    Parameters
    ----------
    queues
        Highest priority first.
    until_empty
        Stop polling once every queue is empty and every job settled.
    """

    def __init__(
        self,
        queues: Sequence[Queue],
        *,
        intake: Intake,
        leases: LeaseKeeper,
        attempts: Attempts,
        metrics: Metrics,
        wait_time_s: int,
        protection: TaskProtection | None = None,
        until_empty: bool = False,
    ) -> None:
        self._queues = queues
        self._intake = intake
        self._leases = leases
        self._attempts = attempts
        self._metrics = metrics
        self._wait_time_s = min(wait_time_s, EMPTY_WAIT_S) if until_empty else wait_time_s
        self._protection = protection
        self._until_empty = until_empty
        self._work: set[Work] = set()
        self._stopping = asyncio.Event()
        self._polling_since: dict[int, float] = {}
        self._polls: list[asyncio.Task[None]] = []
        self._left = 0
        """Messages that were still being worked on when a drain had waited long enough."""

    async def run(self) -> None:
        """Poll until told to stop; returns when the last receive has ended."""
        renewing = asyncio.create_task(self._leases.run())
        renewing.add_done_callback(_must_not_end)
        self._renewing = renewing
        self._polls = [
            asyncio.create_task(self._poll(rank, queue)) for rank, queue in enumerate(self._queues)
        ]
        await asyncio.gather(*self._polls)

    def stop_polling(self) -> None:
        """Begin no further receive; one that runs is finished."""
        self._stopping.set()

    def abort_polling(self) -> None:
        """Break off the running receives; what they hold comes back after its visibility."""
        self._stopping.set()
        for poll in self._polls:
            poll.cancel()

    async def drain(self, grace_s: float) -> None:
        """After polling has ended: hand back the unstarted, let the started finish, hand back.

        Parameters
        ----------
        grace_s
            How long started jobs may take.
        """
        for work in list(self._work):
            if not work.has_started:
                work.stop()
        if self._work:
            log.info("draining", jobs=len(self._work), grace_s=grace_s)
        await self._wait_for_work(grace_s)
        self.cut()
        await self._wait_for_work(HAND_BACK_TIMEOUT_S + HAND_BACK_MARGIN_S)
        self._left = len(self._work)
        self._renewing.cancel()
        # A delete that is still not answered has had its time: whoever waits for it is told.
        await asyncio.gather(*(queue.flush(within_s=0) for queue in self._queues))
        await self._wait_for_work(HAND_BACK_MARGIN_S)

    def cut(self) -> None:
        """Stop every job now; each hands its message back."""
        for work in list(self._work):
            work.stop()

    async def _wait_for_work(self, timeout_s: float) -> None:
        tasks = [work.task for work in self._work if work.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    @property
    def unsettled(self) -> int:
        """Messages that a stop could neither settle nor hand back."""
        return self._left + self._attempts.unsettled

    @property
    def in_flight(self) -> int:
        """Messages being worked on."""
        return len(self._work)

    def stalled(self) -> str | None:
        """Say which receive has been outstanding for too long; None if all is well.

        Not polling because every slot is taken, and errors from SQS, are no stall.
        """
        limit = STALLED_WAIT_TIMES * max(self._wait_time_s, LEAST_WAIT_FOR_STALL_S)
        for rank, since in self._polling_since.items():
            if (waited := time.monotonic() - since) > limit:
                return f"a receive on {self._queues[rank].name} has taken {waited:.0f} s"
        return None

    async def _poll(self, rank: int, queue: Queue) -> None:
        """Receive for as long as the worker runs."""
        pause = POLL_ERROR_FIRST_S
        attempt_id = _attempt_id(queue)
        had_all = True
        while await self._may_poll():
            permits = await self._permits(rank, self._wanted(queue, had_all=had_all))
            if permits == 0:
                return
            try:
                messages = await self._receive(rank, queue, permits, attempt_id)
            except Exception as error:  # a poll that ended for any reason would end the worker
                self._intake.received(rank, asked=permits, got=0)
                self._intake.release(rank, permits)
                failure = classify(error, what=f"the queue {queue.name}")
                log.warning(
                    "receive_failed",
                    queue=queue.name,
                    code=str(failure.code),
                    reason=failure.message,
                    error=type(error).__name__,
                )
                await self._sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, POLL_ERROR_MAX_S)
                continue
            except BaseException:
                self._intake.release(rank, permits)
                raise
            pause = POLL_ERROR_FIRST_S
            attempt_id = _attempt_id(queue)
            self._intake.received(rank, asked=permits, got=len(messages))
            self._intake.release(rank, permits - len(messages))
            for message in messages:
                self._begin(message, rank)
            had_all = len(messages) < permits
            if not messages and self._until_empty and await self._all_empty():
                self.stop_polling()

    def _wanted(self, queue: Queue, *, had_all: bool) -> int:
        """How many messages to ask for, at most.

        A FIFO queue is asked for one: SQS then keeps the rest of its group back, so that the
        order and a failure's hold on its group are SQS's own. Of several queues one whose last
        receive brought all that it had keeps one permit only, so that its long poll takes no slots
        from the others.
        """
        if queue.is_fifo or (had_all and len(self._queues) > 1):
            return 1
        return MAX_BATCH

    async def _may_poll(self) -> bool:
        if self._protection is not None and not self._protection.may_poll.is_set():
            await self._or_stop(self._protection.may_poll.wait())
        return not self._stopping.is_set()

    async def _permits(self, rank: int, most: int) -> int:
        """Reserve permits; 0 when the worker stops first."""
        asked = asyncio.ensure_future(self._intake.acquire(rank, most))
        await self._or_stop(asked)
        if asked.done() and not asked.cancelled():
            if not self._stopping.is_set():
                return asked.result()
            self._intake.release(rank, asked.result())
        return 0

    async def _or_stop(self, awaitable: Awaitable[object]) -> None:
        """Wait for something or for the stop; what was not done by then is cancelled."""
        wanted = asyncio.ensure_future(awaitable)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({wanted, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not wanted.done():
                wanted.cancel()
                await asyncio.wait({wanted})

    async def _sleep(self, seconds: float) -> None:
        await self._or_stop(asyncio.sleep(seconds))

    async def _receive(
        self, rank: int, queue: Queue, limit: int, attempt_id: str | None
    ) -> list[Message]:
        self._polling_since[rank] = time.monotonic()
        try:
            return await queue.receive(
                limit,
                wait_s=self._wait_time_s,
                visibility_s=self._leases.visibility_s,
                attempt_id=attempt_id,
            )
        finally:
            del self._polling_since[rank]

    async def _all_empty(self) -> bool:
        for check in range(EMPTY_CHECKS):
            if check:
                await self._sleep(EMPTY_CHECK_PAUSE_S)
            if self._work:
                return False
            try:
                for queue in self._queues:
                    if await queue.depth() > 0:
                        return False
            except SqsError:
                return False
        return True

    def _begin(self, message: Message, rank: int) -> None:
        """Start working on a message, in a task of its own."""
        lag_s = max(0.0, time.time() - message.sent_at) if message.sent_at else 0.0
        self._metrics.received(message.queue.name, 1, lag_s)
        work = Work(self._leases.take(message), rank)
        self._work.add(work)
        self._metrics.in_flight(1)
        work.task = asyncio.create_task(self._attempts.run(work))
        work.lease.on_lost(work.task.cancel)
        work.task.add_done_callback(lambda _: self._end(work))
        self._tell_protection()

    def _end(self, work: Work) -> None:
        """Give back whatever the job still holds, also if its task never ran."""
        work.free_permit(self._intake)
        self._leases.release(work.lease)
        self._work.discard(work)
        self._metrics.in_flight(-1)
        self._tell_protection()

    def _tell_protection(self) -> None:
        if self._protection is not None:
            self._protection.jobs_in_flight(len(self._work))


def _attempt_id(queue: Queue) -> str | None:
    """What a receive that is repeated after an error is known by: FIFO queues alone have it."""
    return new_attempt_id() if queue.is_fifo else None


def _must_not_end(task: asyncio.Task[None]) -> None:
    """Leases that are no longer renewed would be worked on twice; say so, whatever the reason."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("lease_keeper_died", error=repr(error))
        raise SystemExit(1) from error
