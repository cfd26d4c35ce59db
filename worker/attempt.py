"""One receive of a job: done under its lease, and its message settled, whatever happens."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from worker import logs, spans
from worker.backlog import can_come_back
from worker.contract import Addressee
from worker.failures import ErrorCode, JobFailure, LeaseLost, Policy, classify
from worker.settlement import Action, decide

if TYPE_CHECKING:
    from worker.intake import Intake
    from worker.metrics import Metrics
    from worker.pipeline import Pipeline
    from worker.queue import Message
    from worker.settlement import Settlement
    from worker.sinks import Sinks
    from worker.work import Work

HAND_BACK_TIMEOUT_S: Final = 5.0

log = logs.get_logger()


class Attempts:
    """Takes a message from its receive to its settlement."""

    def __init__(
        self,
        *,
        intake: Intake,
        pipeline: Pipeline,
        settlement: Settlement,
        sinks: Sinks,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._pipeline = pipeline
        self._settlement = settlement
        self._sinks = sinks
        self._metrics = metrics
        self.unsettled = 0
        """Messages that were neither settled nor handed back when their job was stopped."""

    async def run(self, work: Work) -> None:
        """Do one job and settle its message, with its names in every log line."""
        message = work.lease.message
        with (
            logs.bound(
                message_id=message.message_id,
                receive_count=message.receive_count,
                queue=message.queue.name,
            ),
            spans.processing(message) as span,
        ):
            started = time.monotonic()
            try:
                outcome, code = await self._work_and_settle(work)
            except (asyncio.CancelledError, LeaseLost):
                outcome, code = await self._after_a_cut(work), None
            except Exception:
                log.exception("settlement_raised")
                outcome, code = "left_to_visibility_timeout", str(ErrorCode.INTERNAL_ERROR)
            took_s = time.monotonic() - started
            self._metrics.job_duration("total", took_s)
            spans.settled(span, outcome, code)
            log.info("job_done", outcome=outcome, code=code, duration_ms=round(took_s * 1000))

    async def _work_and_settle(self, work: Work) -> tuple[str, str | None]:
        loop = asyncio.get_running_loop()
        slot_since: float | None = None

        def scored() -> None:
            work.has_started = True
            if slot_since is not None and work.holds_permit:
                self._intake.slot_was_held(loop.time() - slot_since)
            work.free_permit(self._intake)

        def started() -> None:
            nonlocal slot_since
            slot_since = loop.time()
            work.has_started = True

        failure: JobFailure | None = None
        deadline = asyncio.timeout_at(work.lease.work_until)
        try:
            async with deadline:
                await self._pipeline.run(
                    work.lease.message,
                    on_started=started,
                    on_scored=scored,
                    delivery=work.delivery,
                )
        except JobFailure as raised:
            failure = raised
        except LeaseLost:
            raise
        except Exception as error:
            if work.delivery.is_done:
                log.warning("delivered_mark_not_written", error=type(error).__name__)
            elif deadline.expired():
                failure = JobFailure(
                    ErrorCode.JOB_TIMEOUT, "The job was not done within WORKER_JOB_TIMEOUT_S."
                )
            else:
                log.exception("job_raised")
                failure = classify(error)
        if failure is None:
            await self._settlement.succeeded(work.lease)
            return "completed", None
        log.warning(
            "job_failed", code=str(failure.code), stage=str(failure.stage), reason=failure.message
        )
        try:
            place = await self._place_to_tell(work.lease.message, failure)
        except JobFailure as turned_away:
            await self._settlement.back_off(work.lease, turned_away)
            return str(Action.BACK_OFF), str(failure.code)
        with place:
            scored()
            decision = await self._settlement.failed(
                work.lease, failure, result_queue_has_it=work.delivery.result_queue_has_it
            )
        return str(decision.action), str(failure.code)

    async def _place_to_tell(
        self, message: Message, failure: JobFailure
    ) -> AbstractContextManager[object]:
        """A place in the backlog where an event is sent; a back-off waits for no delivery.

        Raises
        ------
        JobFailure
            There is none now: its job is to come back.
        """
        decision = decide(
            failure,
            receive_count=message.receive_count,
            max_receives=message.queue.max_receive_count,
        )
        if decision.action is Action.BACK_OFF:
            return nullcontext()
        # One that loses its analysis process would lose another for the sake of its event.
        may_wait = failure.policy is not Policy.RETRY_LIMITED and can_come_back(
            message.receive_count, message.queue.max_receive_count
        )
        return await self._sinks.place(
            Addressee.salvage(message.body).webhook_url, can_come_back=may_wait
        )

    async def _after_a_cut(self, work: Work) -> str:
        """The job was stopped: by the loss of its lease, or by a drain."""
        if work.lease.lost_by is not None:
            return f"lease_lost_{work.lease.lost_by}"
        if work.lease.is_released:
            return "settled"
        work.is_handed_back = True
        try:
            async with asyncio.timeout(HAND_BACK_TIMEOUT_S):
                if await self._settlement.hand_back(work.lease):
                    return "released"
        except (LeaseLost, TimeoutError):
            pass
        except Exception:
            log.exception("hand_back_raised")
        self.unsettled += 1
        return "left_to_visibility_timeout"
