"""The dead letters that SQS moved by itself, after the last worker was killed: answered once.

Such a letter has no `error_code`, and its consumer was never told. It is answered with the result,
if one was stored, and else with `analysis.failed`; then a copy with the reason takes its place.
The letter is hidden from other sweeps meanwhile, and an answer that is sent twice all the same,
after a crash, carries the same webhook-id.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker.contract import (
    DEFAULT_JOB_TYPE,
    Addressee,
    AnalysisJob,
    EventError,
    EventType,
    build_event,
)
from worker.deadletter_attributes import attributes_of
from worker.deadletters import DeadLetter, Walk
from worker.failures import NO_EVENT_AFTER, ErrorCode, JobFailure, Stage
from worker.logs import bound, get_logger
from worker.queue import Message, Queue, SqsError
from worker.results import fingerprint
from worker.sinks import Delivery

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from worker.metrics import Metrics
    from worker.sweep_report import Deliverer

_log = get_logger("worker.sweep")


class SilentLetters:
    """Answers the dead letters that SQS moved by itself, after the last worker was killed.

    Parameters
    ----------
    source_url
        The queue that they come from, where they do not say so.
    max_receives
        After so many receives that queue lets go of a message.
    """

    def __init__(
        self,
        sqs: SQSClient,
        deliverer: Deliverer,
        metrics: Metrics,
        *,
        source_url: str,
        max_receives: int,
    ) -> None:
        self._sqs = sqs
        self._to = deliverer
        self._metrics = metrics
        self._source_url = source_url
        self._max_receives = max_receives

    async def answer_all(self, dlq_url: str, *, limit: int) -> None:
        """Walk the dead-letter queue, up to `limit` messages, and answer what has no code."""
        async with Walk(self._sqs, dlq_url) as walk:
            while walk.seen < limit and (letters := await walk.batch()):
                silent = [letter for letter in letters if letter.code is None]
                walk.keep(letter for letter in letters if letter.code is not None)
                outcomes = await asyncio.gather(*(self._answer(x, dlq_url) for x in silent))
                settled = [x for x, done in zip(silent, outcomes, strict=True) if done]
                walk.keep(x for x, done in zip(silent, outcomes, strict=True) if not done)
                if settled:
                    await walk.delete(settled)

    async def _answer(self, letter: DeadLetter, dlq_url: str) -> bool:
        """Deal with one; whether the message may be deleted."""
        addressee = Addressee.salvage(letter.body)
        with bound(job_id=addressee.job_id, message_id=letter.message_id):
            try:
                failure, delivery = _lost(self._receives(letter)), Delivery()
                try:
                    if await self._recover(letter, addressee, delivery):
                        return True
                except JobFailure as refusal:
                    if refusal.retryable:
                        raise
                    failure = refusal
                return await self._tell_and_mark(letter, addressee, failure, delivery, dlq_url)
            # One letter that fails stops no other: all of a batch are answered side by side.
            except JobFailure as failure:
                _log.warning("sweep_later", code=str(failure.code), reason=failure.message)
                self._to.report.later += 1
                return False
            except SqsError as error:
                _log.error("sweep_failed", error=type(error).__name__, reason=str(error))
                self._to.report.errors += 1
                return False
            except Exception:
                _log.exception("sweep_raised")
                self._to.report.errors += 1
                return False

    async def _recover(self, letter: DeadLetter, addressee: Addressee, delivery: Delivery) -> bool:
        """Deliver the result if one was stored before the worker was killed."""
        results = self._to.results
        if results is None or addressee.job_id is None:
            return False
        stored = await results.find(addressee.job_id, expected=_fingerprint(letter))
        if stored is None:
            return False
        if not stored.is_delivered:
            await self._to.sinks.send(
                addressee.webhook_url, stored.event, bulky=self._to.bulky, delivery=delivery
            )
            await results.mark_delivered(addressee.job_id)
        _log.info("dead_letter_recovered", was_delivered=stored.is_delivered)
        self._to.report.recovered += 1
        return True

    async def _tell_and_mark(
        self,
        letter: DeadLetter,
        addressee: Addressee,
        failure: JobFailure,
        delivery: Delivery,
        dlq_url: str,
    ) -> bool:
        message = self._message(letter, dlq_url)
        if attributes_of(message, failure, event_delivered=False) is None:
            # With no room to note that the consumer was told, it would be told at every sweep.
            _log.warning("dead_letter_too_large_to_mark")
            return False
        told = await self._tell(
            letter, addressee, failure, to_result_queue=not delivery.result_queue_has_it
        )
        attributes = attributes_of(message, failure, event_delivered=told)
        assert attributes is not None  # noqa: S101  "true" is shorter than "false"
        await message.queue.send_dead_letter(message, attributes)
        _log.info("dead_letter_answered", code=str(failure.code), event_delivered=told)
        if told:
            self._to.report.answered += 1
        else:
            self._to.report.marked += 1
        return True

    async def _tell(
        self,
        letter: DeadLetter,
        addressee: Addressee,
        failure: JobFailure,
        *,
        to_result_queue: bool,
    ) -> bool:
        """Send `analysis.failed`; raises JobFailure where a later sweep may fare better."""
        url = None if NO_EVENT_AFTER & {failure.code, failure.cause} else addressee.webhook_url
        has_other = self._to.sinks.has_other and to_result_queue
        if addressee.job_id is None or (url is None and not has_other):
            return False
        event = build_event(
            EventType.FAILED,
            addressee,
            attempt=max(1, self._receives(letter)),
            progress=100,
            message=failure.message,
            error=EventError.of(failure),
        )
        try:
            await self._to.sinks.send(url, event, to_result_queue=to_result_queue)
        except JobFailure as refusal:
            if refusal.retryable:
                raise
            _log.warning("failed_event_not_delivered", code=str(refusal.code))
            return False
        return True

    def _receives(self, letter: DeadLetter) -> int:
        """How often its job was tried: SQS goes on counting where it only lies and is looked at."""
        return min(letter.receives, self._max_receives)

    def _message(self, letter: DeadLetter, dlq_url: str) -> Message:
        source = letter.source_queue
        return Message(
            message_id=letter.message_id,
            receipt_handle=letter.receipt_handle,
            body=letter.body,
            queue=Queue(
                self._sqs,
                source or self._source_url,
                self._metrics,
                dead_letter_url=dlq_url,
            ),
            receive_count=self._receives(letter),
            sent_at=letter.sent_at,
            raw_attributes=letter.own_attributes,
            group_id=letter.group_id,
        )


def _lost(receives: int) -> JobFailure:
    return JobFailure(
        ErrorCode.RETRIES_EXHAUSTED,
        f"No attempt is left: the job was received {receives} times, and each time its "
        "worker was stopped or lost before it was done.",
        stage=Stage.ANALYSIS,
        cause=ErrorCode.WORKER_LOST,
    )


def _fingerprint(letter: DeadLetter) -> str | None:
    try:
        job = AnalysisJob.parse(letter.body)
    except JobFailure:
        return None
    return fingerprint(job, letter.text("job_type") or DEFAULT_JOB_TYPE)
