"""Where an event goes: the webhook of the job, the results queue, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.backlog import NO_CONSUMER, Backlog, Full, Place
from worker.contract import MAX_EVENT_BYTES, Event, prune
from worker.failures import NO_EVENT_AFTER, ErrorCode, JobFailure
from worker.logs import get_logger
from worker.queue import ResultQueue, SqsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.metrics import Metrics
    from worker.results import ResultStore
    from worker.webhook import WebhookSender

WEBHOOK: Final = "webhook"
RESULT_QUEUE: Final = "result_queue"

BACKLOG_PER_DELIVERY: Final = 4
"""Scored jobs that may wait for each delivery on its way, before slots are held back for them."""

_log = get_logger("worker.sinks")


@dataclass
class Delivery:
    """How far the event of a completed job has come, in one receive."""

    result_queue_has_it: bool = False
    """Then a failure of the webhook is none of the job's: the queue is not told of it."""
    is_done: bool = False
    """Everybody has it: whatever happens from now on, the job has not failed."""


class Sinks:
    """Delivers final events.

    Parameters
    ----------
    max_rps
        The pace of deliveries to one consumer.
    results
        Where what nobody has taken yet is listed: a webhook that is gone is struck off.
    answers_elsewhere
        Whether whoever runs the job takes its event by hand: the terminal of `process`.
    """

    def __init__(
        self,
        webhook: WebhookSender,
        result_queue: ResultQueue | None,
        *,
        concurrency: int,
        metrics: Metrics,
        max_rps: float | None = None,
        results: ResultStore | None = None,
        answers_elsewhere: bool = False,
    ) -> None:
        self._webhook = webhook
        self._result_queue = result_queue
        self._metrics = metrics
        self._results = results
        self._answers_elsewhere = answers_elsewhere
        self._backlog = Backlog(concurrency * BACKLOG_PER_DELIVERY, max_rps=max_rps)

    @property
    def has_other(self) -> bool:
        """Whether a job without a webhook has somewhere to answer to."""
        return self._result_queue is not None or self._answers_elsewhere

    async def check(self, webhook_url: str | None, *, can_come_back: bool) -> None:
        """Refuse a URL that events may not go to, before any work is done for it.

        Raises
        ------
        JobFailure
            Its event may not be sent; or would have no `place`.
        """
        if webhook_url is None:
            return
        await self._webhook.check(webhook_url)
        origin = self._webhook.origin(webhook_url)
        try:
            self._backlog.check(origin, can_come_back=can_come_back)
        except Full as full:
            raise self._turned_away(origin, full) from None

    async def place(self, webhook_url: str | None, *, can_come_back: bool) -> Place:
        """Take a place in the backlog: held from when a job is scored until its event is delivered.

        How many events are sent at once, and to whom, is the webhook sender's matter.

        Parameters
        ----------
        can_come_back
            Whether the job may be sent back to the queue for want of a place; else it waits.

        Raises
        ------
        JobFailure
            `webhook_unavailable`: the consumer has so many events waiting that those of others
            would have to wait for them.
        """
        try:
            origin = NO_CONSUMER if webhook_url is None else self._webhook.origin(webhook_url)
        except JobFailure:  # nothing is sent there
            origin = NO_CONSUMER
        may_wait = can_come_back and origin != NO_CONSUMER
        try:
            return await self._backlog.place(origin, can_come_back=may_wait)
        except Full as full:
            raise self._turned_away(origin, full) from None

    def _turned_away(self, origin: str, full: Full) -> JobFailure:
        self._metrics.webhook_attempt("open")
        return JobFailure(
            ErrorCode.WEBHOOK_UNAVAILABLE,
            f"The webhook at {origin} takes its events more slowly than they come; this one waits "
            "in the queue.",
            retry_after_s=full.retry_after_s,
        )

    async def send(
        self,
        webhook_url: str | None,
        event: Event,
        *,
        bulky: Sequence[str] = (),
        traceparent: str | None = None,
        to_result_queue: bool = True,
        delivery: Delivery | None = None,
    ) -> None:
        """Send one event everywhere it has to go; a job's own is sent in a `place`.

        Parameters
        ----------
        bulky
            What is left out of an event that is larger than `MAX_EVENT_BYTES`.
        to_result_queue
            False: to the webhook alone.
        delivery
            Where it is noted how far the event has come; it says so after a failure too.

        Raises
        ------
        JobFailure
            Of stage deliver. A sink that took the event gets it again on the next attempt, under
            the same event id.
        """
        sent = fit(event, bulky)
        if self._result_queue is not None and to_result_queue:
            try:
                await self._result_queue.send(
                    sent.body.decode(),
                    event_id=sent.event_id,
                    event_type=sent.type,
                    job_id=sent.job_id,
                )
            except SqsError as error:
                raise JobFailure(
                    ErrorCode.RESULT_QUEUE_UNAVAILABLE,
                    f"The results queue did not take the event: {type(error).__name__}.",
                ) from error
            self._metrics.delivered(RESULT_QUEUE)
            if delivery is not None:
                delivery.result_queue_has_it = True
        if webhook_url is not None:
            try:
                await self._webhook.deliver(webhook_url, sent, traceparent=traceparent)
            except JobFailure as failure:
                if failure.code in NO_EVENT_AFTER:
                    await self._strike_off(event.job_id, webhook_url)
                raise
            self._metrics.delivered(WEBHOOK)

    async def _strike_off(self, job_id: str, webhook_url: str) -> None:
        """See to it that no sweep sends this webhook a result that is stored for it."""
        if self._results is None:
            return
        try:
            await self._results.give_up(job_id, webhook_url)
        except Exception as error:
            # The sweep then asks once more, and strikes it off itself.
            _log.warning("undelivered_note_not_removed", error=type(error).__name__)


def fit(event: Event, bulky: Sequence[str]) -> Event:
    """The event as it is sent: without its bulky parts if it would be too large."""
    if len(event.body) <= MAX_EVENT_BYTES or not bulky:
        return event
    return Event(
        event.event_id, event.type, event.job_id, prune(event.body, ["data", "result"], bulky)
    )
