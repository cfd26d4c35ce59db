"""What becomes of a message: deleted, backed off, or dead-lettered with a reason.

The rules are one pure function, `decide`; `Settlement` carries them out. A copy goes to the
dead-letter queue first and the message is deleted after: a crash between the two leaves a
duplicate, never a loss. Nothing is settled once the lease is lost.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from worker import spans
from worker.contract import Addressee, Event, EventError, EventType, build_event
from worker.deadletter_attributes import attributes_of
from worker.failures import (
    NO_EVENT_AFTER,
    ErrorCode,
    JobFailure,
    LeaseLost,
    Policy,
    classify,
    has_attempts_left,
)
from worker.logs import get_logger
from worker.queue import SqsError
from worker.tracing import current_traceparent

if TYPE_CHECKING:
    from worker.lease import Lease, LeaseKeeper
    from worker.metrics import Metrics
    from worker.queue import Message

JITTER: Final = 0.1
"""A back-off is up to this share longer, so that what failed together is not tried together."""

log = get_logger()


class Action(StrEnum):
    """What is done with the message."""

    DELETE = "delete"
    BACK_OFF = "back_off"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True)
class Decision:
    """What is done with a message whose job failed."""

    action: Action
    failure: JobFailure
    """What the consumer and the dead letter are told."""


def decide(failure: JobFailure, *, receive_count: int, max_receives: int | None) -> Decision:
    """Decide on a failed job; the only place that does.

    A permanent failure is dead-lettered at once. A retryable one is backed off while receives
    are left, and becomes `retries_exhausted` on the last.
    """
    if not failure.retryable:
        return Decision(Action.DEAD_LETTER, failure)
    if has_attempts_left(failure, receive_count=receive_count, max_receives=max_receives):
        return Decision(Action.BACK_OFF, failure)
    return Decision(Action.DEAD_LETTER, failure.exhausted())


def back_off_s(
    receive_count: int,
    *,
    first_s: float,
    longest_s: float,
    at_least_s: float | None = None,
    draw: Callable[[], float] = random.random,
) -> float:
    """Seconds until the next attempt: doubling with each receive, capped, with jitter.

    A wait that the other side asked for (`at_least_s`) is kept, beyond the cap too: to come
    earlier would spend a receive in vain. Whoever reads it bounds it.
    """
    doubled = min(longest_s, first_s * 2.0 ** min(receive_count - 1, 32))
    return max(doubled, at_least_s or 0.0) * (1 + JITTER * draw())


class EventSender(Protocol):
    """Delivers final events (worker.sinks.Sinks)."""

    async def send(
        self,
        webhook_url: str | None,
        event: Event,
        *,
        traceparent: str | None = None,
        to_result_queue: bool = True,
    ) -> None:
        """Send one event everywhere it has to go; raises JobFailure."""
        ...

    @property
    def has_other(self) -> bool:
        """Whether a job without a webhook has somewhere to answer to."""
        ...


class Settlement:
    """Carries out what was decided, for as long as the lease is held."""

    def __init__(
        self,
        leases: LeaseKeeper,
        events: EventSender,
        *,
        retry_delay_s: float,
        retry_max_delay_s: float,
        metrics: Metrics,
    ) -> None:
        self._leases = leases
        self._events = events
        self._retry_delay_s = retry_delay_s
        self._retry_max_delay_s = retry_max_delay_s
        self._metrics = metrics

    async def succeeded(self, lease: Lease) -> None:
        """The event was accepted: delete the message."""
        await self._delete(lease)
        self._count("completed", None)

    async def failed(
        self, lease: Lease, failure: JobFailure, *, result_queue_has_it: bool = False
    ) -> Decision:
        """Tell who can be told, then back off or dead-letter.

        Parameters
        ----------
        result_queue_has_it
            The results queue has taken the job's result: only the webhook is told of a failure.
        """
        # Whoever holds the message now may yet complete the job: it has not failed.
        self._must_hold(lease)
        message = lease.message
        decision = decide(
            failure,
            receive_count=message.receive_count,
            max_receives=message.queue.max_receive_count,
        )
        if decision.action is Action.BACK_OFF:
            await self.back_off(lease, failure)
            return decision
        try:
            is_told = await self._tell(
                lease, decision.failure, to_result_queue=not result_queue_has_it
            )
        except Exception as error:
            # Whatever it is: a job whose event cannot be written must end as a dead letter, too.
            if not isinstance(error, JobFailure):
                log.exception("failed_event_raised")
            refusal = classify(error, what="the failed event")
            if self._may_tell_later(failure, refusal, message):
                await self.back_off(lease, refusal)
                return Decision(Action.BACK_OFF, decision.failure)
            is_told = False
        action = await self._dead_letter(lease, decision.failure, event_delivered=is_told)
        return Decision(action, decision.failure)

    def _may_tell_later(self, failure: JobFailure, refusal: JobFailure, message: Message) -> bool:
        """Whether the failed event is tried again on a later receive.

        Not for a job that loses its analysis process: that receive would lose another one.
        """
        again = (
            refusal.retryable
            and failure.policy is not Policy.RETRY_LIMITED
            and has_attempts_left(
                refusal,
                receive_count=message.receive_count,
                max_receives=message.queue.max_receive_count,
            )
        )
        log.warning("failed_event_not_delivered", code=str(refusal.code), retried=again)
        return again

    async def back_off(self, lease: Lease, failure: JobFailure) -> None:
        """Give the message back for a later attempt."""
        delay_s = back_off_s(
            lease.message.receive_count,
            first_s=self._retry_delay_s,
            longest_s=self._retry_max_delay_s,
            at_least_s=failure.retry_after_s,
        )
        if await self._make_visible(lease, delay_s):
            log.info("job_backed_off", delay_s=round(delay_s, 1), code=str(failure.code))
        self._count("retried", failure.cause or failure.code)

    async def hand_back(self, lease: Lease) -> bool:
        """Give an unfinished message back at once, for another worker; whether SQS took it."""
        if not await self._make_visible(lease, 0):
            return False
        self._count("released", None)
        return True

    async def _make_visible(self, lease: Lease, delay_s: float) -> bool:
        self._must_hold(lease)
        # First, so that no further renewal overwrites the change; one that is on its way may, and
        # costs the rest of a visibility timeout.
        self._leases.release(lease)
        delay_s = min(delay_s, self._leases.visibility_left_s(lease))
        try:
            with spans.settling(lease.message, "change_visibility"):
                await lease.message.queue.back_off(lease.message, delay_s)
        except SqsError as error:
            # The visibility timeout gives it back in any case, if not as soon or as late.
            log.warning("visibility_change_failed", error=type(error).__name__)
            return False
        return True

    async def _tell(self, lease: Lease, failure: JobFailure, *, to_result_queue: bool) -> bool:
        """Send `analysis.failed`; False if there is no address for it.

        Raises
        ------
        JobFailure
            It was not taken.
        """
        message = lease.message
        addressee = Addressee.salvage(message.body)
        url = addressee.webhook_url
        if NO_EVENT_AFTER & {failure.code, failure.cause}:
            url = None
        has_other = self._events.has_other and to_result_queue
        if addressee.job_id is None or (url is None and not has_other):
            return False
        event = build_event(
            EventType.FAILED,
            addressee,
            attempt=message.receive_count,
            progress=100,
            message=failure.message,
            error=EventError.of(failure),
        )
        await self._events.send(
            url, event, traceparent=current_traceparent(), to_result_queue=to_result_queue
        )
        return True

    async def _dead_letter(
        self, lease: Lease, failure: JobFailure, *, event_delivered: bool
    ) -> Action:
        """Copy, then delete; what was done, for a copy may fail."""
        message = lease.message
        self._must_hold(lease)
        if message.queue.dead_letter_url is None:
            log.error("job_dropped", code=str(failure.code), reason=failure.message)
        else:
            attributes = attributes_of(message, failure, event_delivered=event_delivered)
            if attributes is None:
                # No room for even the reason: SQS's own redrive moves it, whole, after the last
                # receive.
                log.warning("dead_letter_left_to_sqs", code=str(failure.code))
                await self._make_visible(lease, self._retry_delay_s)
                self._count("retried", failure.cause or failure.code)
                return Action.BACK_OFF
            try:
                await message.queue.send_dead_letter(message, attributes)
            except SqsError as error:
                # Not copied, so not deleted: it comes back, and is dead-lettered then.
                log.error("dead_letter_failed", error=type(error).__name__)
                await self.back_off(lease, failure)
                return Action.BACK_OFF
        await self._delete(lease)
        self._count("dead_lettered", failure.cause or failure.code)
        return Action.DEAD_LETTER

    async def _delete(self, lease: Lease) -> None:
        self._must_hold(lease)
        lease.is_being_deleted = True
        try:
            with spans.settling(lease.message, "delete"):
                await lease.message.queue.delete(lease.message)
        except SqsError as error:
            # It comes back; a result that was kept is then not computed again.
            log.error("delete_failed", error=type(error).__name__)
        finally:
            self._leases.release(lease)

    def _must_hold(self, lease: Lease) -> None:
        if not self._leases.is_held(lease):
            raise LeaseLost(lease.lost_by)

    def _count(self, outcome: str, code: ErrorCode | None) -> None:
        self._metrics.settled(outcome, None if code is None else str(code))
