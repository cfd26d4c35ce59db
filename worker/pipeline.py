"""One job, in the order in which its data flows: parse, recall, fetch, score, keep, deliver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from worker import logs, spans
from worker.backlog import Place, can_come_back
from worker.contract import (
    Addressee,
    AnalysisJob,
    Event,
    EventType,
    build_event,
)
from worker.failures import ErrorCode, JobFailure, Stage, classify
from worker.handlers import Analysed, JobHandler, JobInput, Refused, handler_of
from worker.progress import ACCEPTED, ANALYSING, DOWNLOADED, Progress
from worker.results import ResultStore, StoredEvent, cache_key, fingerprint
from worker.sinks import Delivery
from worker.spans import TRACEPARENT_ATTRIBUTE
from worker.tracing import current_traceparent

if TYPE_CHECKING:
    from worker.metrics import Metrics
    from worker.pool import AnalysisPool
    from worker.queue import Message
    from worker.settings import Settings
    from worker.sinks import Sinks
    from worker.storage import Storage
    from worker.webhook import WebhookSender

JOB_TYPE_ATTRIBUTE: Final = "job_type"

FINAL: Final = 100
"""The `progress` of a final event, and of no other."""

MARK_TIMEOUT_S: Final = 5.0
"""How long a job waits for the note that it was delivered: without it, the event is repeated."""

log = logs.get_logger()


@dataclass(frozen=True)
class Task:
    """A valid job with all that its message says beside the body."""

    job: AnalysisJob
    handler: JobHandler
    attempt: int
    can_come_back: bool
    """Whether it may go back to the queue for want of a place."""
    traceparent: str | None

    @classmethod
    def read(cls, message: Message, handlers: Mapping[str, JobHandler]) -> Task:
        """Read a message; raises JobFailure of stage message."""
        job = AnalysisJob.parse(message.body)
        handler = handler_of(handlers, message.attributes.get(JOB_TYPE_ATTRIBUTE))
        return cls(
            job,
            handler,
            message.receive_count,
            can_come_back(message.receive_count, message.queue.max_receive_count),
            message.attributes.get(TRACEPARENT_ATTRIBUTE),
        )

    @cached_property
    def fingerprint(self) -> str:
        """What tells this job from another of the same id."""
        return fingerprint(self.job, self.handler.job_type)


class Pipeline:
    """Takes a message to a delivered event. Knows nothing of leases, permits or deletion."""

    def __init__(
        self,
        settings: Settings,
        handlers: Mapping[str, JobHandler],
        *,
        storage: Storage,
        results: ResultStore | None,
        pool: AnalysisPool,
        sinks: Sinks,
        webhook: WebhookSender,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._handlers = handlers
        self._storage = storage
        self._results = results
        self._pool = pool
        self._sinks = sinks
        self._webhook = webhook
        self._metrics = metrics

    async def run(
        self,
        message: Message,
        *,
        on_started: Callable[[], None] = lambda: None,
        on_scored: Callable[[], None] = lambda: None,
        delivery: Delivery | None = None,
    ) -> Event:
        """Do a job up to the point where its event is delivered.

        Parameters
        ----------
        on_started
            Called when the job's analysis begins: from then on a drain lets it finish.
        on_scored
            Called when the job needs no analysis slot any more and has its place in the delivery.
        delivery
            Where it is noted how far the event has come.

        Returns
        -------
        The event that stands for the job, delivered now or before.

        Raises
        ------
        JobFailure
            With the stage and what to do; everything else is a fault of ours.
        """
        task = Task.read(message, self._handlers)
        logs.bind(job_id=task.job.job_id)
        spans.name_job(task.job.job_id)
        return await self._run(task, on_started, on_scored, delivery or Delivery())

    async def _run(
        self,
        task: Task,
        on_started: Callable[[], None],
        on_scored: Callable[[], None],
        delivery: Delivery,
    ) -> Event:
        job = task.job
        self._needs_an_answer_address(job)
        stored = await self._recall(task)
        if stored is not None and stored.is_delivered:
            log.info("already_delivered")
            return stored.event
        if stored is None:
            # What is stored waits for no webhook: the results queue gets it in any case.
            await self._sinks.check(job.webhook_url, can_come_back=task.can_come_back)
        progress = Progress(
            self._webhook,
            Addressee.of(job),
            attempt=task.attempt,
            enabled=self._wants_progress(job),
            traceparent=task.traceparent,
        )
        try:
            if stored is None:
                progress.report(ACCEPTED, "Job accepted.")
                event = await self._compute(task, progress, on_started)
            try:
                place = await self._place(task)
            except JobFailure:
                if stored is None:
                    await self._keep(task, event)  # so that it need not be scored again
                raise
            with place:
                on_scored()
                if stored is None:
                    stored = await self._keep(task, event)
                await progress.close()
                if stored.is_delivered:  # by another worker, while this one computed
                    log.info("already_delivered")
                else:
                    await self._deliver(task, stored.event, delivery)
                return stored.event
        finally:
            await progress.close()

    async def _place(self, task: Task) -> Place:
        # One whose result is not kept would be scored again.
        may_wait = task.can_come_back and self._results is not None
        return await self._sinks.place(task.job.webhook_url, can_come_back=may_wait)

    def _needs_an_answer_address(self, job: AnalysisJob) -> None:
        if job.webhook_url or self._sinks.has_other or self._results is not None:
            return
        raise JobFailure(
            ErrorCode.INVALID_MESSAGE,
            "The message has no webhook_url, and this worker has neither a results queue nor a "
            "results bucket: nobody would get the result.",
        )

    def _wants_progress(self, job: AnalysisJob) -> bool:
        return self._settings.progress_events if job.progress is None else job.progress

    async def _recall(self, task: Task) -> StoredEvent | None:
        """Find the event that an earlier receive of this job has stored."""
        if self._results is None:
            return None
        with _storing("the stored result"):
            return await self._results.find(task.job.job_id, expected=task.fingerprint)

    async def _compute(
        self, task: Task, progress: Progress, on_started: Callable[[], None]
    ) -> Event:
        inputs = await self._fetch(task.handler.inputs(task.job, self._settings))
        progress.report(DOWNLOADED, "Recording and reference downloaded.")
        request = task.handler.request(task.job, inputs, self._settings)
        result = await self._score(task, inputs, request, progress, on_started)
        return build_event(
            EventType.COMPLETED,
            Addressee.of(task.job),
            attempt=task.attempt,
            progress=FINAL,
            message="Analysis completed.",
            result=result,
            result_location=str(self._results.location(task.job.job_id)) if self._results else None,
        )

    async def _fetch(self, needed: Sequence[JobInput]) -> dict[str, bytes]:
        """Download what the job needs, side by side; the first failure ends the others."""
        fetched: dict[str, bytes] = {}

        async def fetch(wanted: JobInput) -> None:
            try:
                found = await self._storage.fetch(
                    wanted.location,
                    what=wanted.name,
                    max_bytes=wanted.max_bytes,
                    shared=wanted.is_shared,
                )
            except JobFailure as failure:
                if wanted.is_optional and failure.code is ErrorCode.NOT_FOUND:
                    return
                raise
            fetched[wanted.name] = found.data

        with self._timed("fetch"), spans.step("fetch"):
            try:
                async with asyncio.TaskGroup() as group:
                    for wanted in needed[1:]:
                        group.create_task(fetch(wanted))
                    for wanted in needed[:1]:  # in this task: one less is made for every job
                        await fetch(wanted)
            except* JobFailure as failures:
                raise _worst(failures.exceptions) from None
        return fetched

    async def _score(
        self,
        task: Task,
        inputs: Mapping[str, bytes],
        request: Any,
        progress: Progress,
        on_started: Callable[[], None],
    ) -> bytes:
        key = self._cache_key(task, inputs, request)
        if (kept := await self._cached(key)) is not None:
            log.info("result_from_cache", key=key[:12])
            return kept
        waiting_since = time.monotonic()

        def slot_found() -> None:
            self._metrics.job_duration("wait", time.monotonic() - waiting_since)
            on_started()
            progress.report(ANALYSING, "Analysing.")

        with spans.analysing():
            answer: Analysed | Refused = await self._pool.run(
                task.handler.analyse,
                request,
                self._settings.analysis_timeout_s,
                on_started=slot_found,
            )
            if isinstance(answer, Refused):
                raise JobFailure(answer.code, answer.message)
            spans.analysed(answer.stages_s)
        for stage, seconds in answer.stages_s.items():
            self._metrics.job_duration(stage, seconds)
        await self._cache(key, answer.result)
        return answer.result

    def _cache_key(self, task: Task, inputs: Mapping[str, bytes], request: Any) -> str:
        if self._results is None:
            return ""
        return cache_key(
            task.handler.job_type, task.handler.version(), inputs, _options_of(request, inputs)
        )

    async def _cached(self, key: str) -> bytes | None:
        """A cache that cannot be read is no reason to fail a job that can be scored."""
        if self._results is None:
            return None
        try:
            return await self._results.cached(key)
        except Exception as error:
            log.warning("result_cache_unreadable", error=type(error).__name__)
            return None

    async def _cache(self, key: str, result: bytes) -> None:
        if self._results is None:
            return
        try:
            await self._results.cache(key, result)
        except Exception as error:
            log.warning("result_cache_unwritable", error=type(error).__name__)

    async def _keep(self, task: Task, event: Event) -> StoredEvent:
        """Store the event; the first that was stored is the one that stands."""
        if self._results is None:
            return StoredEvent(event, is_delivered=False)
        with _storing("the result"):
            return await self._results.keep(
                event, fingerprint=task.fingerprint, webhook_url=task.job.webhook_url
            )

    async def _deliver(self, task: Task, event: Event, delivery: Delivery) -> None:
        with self._timed("deliver"), spans.step("deliver"):
            await self._sinks.send(
                task.job.webhook_url,
                event,
                bulky=task.handler.bulky,
                traceparent=current_traceparent() or task.traceparent,
                delivery=delivery,
            )
        delivery.is_done = True
        if self._results is not None:
            try:
                async with asyncio.timeout(MARK_TIMEOUT_S):
                    await self._results.mark_delivered(task.job.job_id)
            except Exception as error:
                # The consumer has it, so the job has not failed; the sweep repeats the event,
                # under the same id, for as long as it is listed as undelivered.
                log.warning("delivered_mark_not_written", error=type(error).__name__)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._metrics.job_duration(stage, time.monotonic() - started)


def _options_of(request: Any, inputs: Mapping[str, bytes]) -> str:
    """What of a request decides the result beside the inputs themselves."""
    if is_dataclass(request):
        named = {field.name: getattr(request, field.name) for field in fields(request)}
    elif hasattr(request, "__dict__"):
        named = vars(request)
    else:
        return repr(request)
    hashed = {id(data) for data in inputs.values()}
    return repr(sorted((name, value) for name, value in named.items() if id(value) not in hashed))


@contextmanager
def _storing(what: str) -> Iterator[None]:
    """Name a failure of the results bucket as one: every kind of it is retried."""
    try:
        yield
    except JobFailure:
        raise
    except Exception as error:
        failure = classify(error, what=what)
        code = (
            ErrorCode.CREDENTIALS_EXPIRED
            if failure.code is ErrorCode.CREDENTIALS_EXPIRED
            else ErrorCode.RESULTS_UNAVAILABLE
        )
        raise JobFailure(code, failure.message, stage=Stage.DELIVER) from error


def _worst(failures: Sequence[BaseException]) -> JobFailure:
    """Of several failures, one that no retry mends, so that a hopeless job ends at once."""
    found = [failure for failure in failures if isinstance(failure, JobFailure)]
    return min(found, key=lambda failure: failure.retryable)
