"""Getting an event to its webhook: up to three attempts, and no consumer in another's way.

    check    may anything be sent to this URL at all? (before a job's inputs are fetched)
    deliver  a result: turned away, paced, given a place, sent, tried again
    attempt  progress: once, if there is room, and never mind

What an answer means is decided in worker/verdict.py, what is raised in `deliver`; the queue does
the rest.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from worker import spans, tracing
from worker.breaker import Breaker, BreakerOpen
from worker.bulkhead import Bulkhead, Crowded
from worker.failures import ErrorCode, JobFailure
from worker.logs import get_logger
from worker.netguard import NetGuard, Target
from worker.ratelimit import Pace, PaceExceeded
from worker.remembered import MAX_CONSUMERS
from worker.signing import signed_headers
from worker.tracing import TRACEPARENT
from worker.transport import ExchangeError, Exchanger
from worker.verdict import Verdict, verdict

if TYPE_CHECKING:
    from worker.contract import Event
    from worker.resolver import Resolver
    from worker.secrets import WebhookKeys
    from worker.settings import Settings

ATTEMPT_TIMES_S: Final = (0.0, 1.0, 5.0)
"""When the attempts of one delivery begin, after the first, if the answers came at once."""

JITTER: Final = 0.25
"""Each pause is this much shorter or longer, so that many jobs do not come back as one."""

MAX_WAIT_HERE_S: Final = 5.0
"""A Retry-After above this is waited for in the queue."""

MAX_REJECTIONS: Final = 2
"""A refusal is believed the second time: the first may be a deployment half done."""

PATIENCE_SHARE: Final = 1 / 3
"""Of the time-out: a consumer that answers nothing for so long gets no further events for now."""

PROGRESS_TIMEOUT_S: Final = 5.0

_log = get_logger("worker.webhook")


class AttemptMetrics(Protocol):
    """The part of the metrics that deliveries fill."""

    def webhook_attempt(self, status_class: str) -> None:
        """Count an attempt: `2xx` … `5xx`, `transport`, `refused`, or `open` (not tried)."""

    def breaker_state(self, open_count: int) -> None:
        """How many consumers are not tried for the moment."""


@dataclass(frozen=True)
class _Outcome:
    verdict: Verdict
    reason: str
    retry_after_s: float | None = None
    status: int | None = None


class _Consumer:
    """What is remembered of one consumer between deliveries."""

    def __init__(self, max_rps: float | None) -> None:
        self.breaker = Breaker()
        self.pace = Pace(max_rps) if max_rps else None


class WebhookSender:
    """Delivers events; one for the process, an async context manager.

    It bounds deliveries by `DELIVERY_CONCURRENCY` itself: callers hold no limit of their own
    around `deliver`, or a hanging consumer's events would fill it.

    Parameters
    ----------
    keys
        What events are signed with; None sends them unsigned.
    ssl_context
        Whose certificates are trusted; by default the system's authorities and certifi's.
    resolver
        Turns host names into addresses; the operating system's unless given.
    """

    def __init__(
        self,
        settings: Settings,
        keys: WebhookKeys | None,
        metrics: AttemptMetrics,
        *,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._guard = NetGuard.from_settings(settings, resolver)
        self._keys = keys
        self._metrics = metrics
        self._timeout_s = settings.webhook_timeout_s
        self._max_rps = settings.webhook_max_rps
        self._bulkhead = Bulkhead(
            settings.delivery_concurrency,
            patience_s=settings.webhook_timeout_s * PATIENCE_SHARE,
        )
        self._exchanger = Exchanger(
            self._guard,
            timeout_s=settings.webhook_timeout_s,
            max_idle=2 * settings.delivery_concurrency,
            ssl_context=ssl_context,
        )
        self._consumers: OrderedDict[str, _Consumer] = OrderedDict()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._exchanger)
        if self._keys and self._keys.is_refreshed:
            refreshing = asyncio.create_task(self._keys.refresh_regularly(), name="webhook-keys")
            self._stack.push_async_callback(_end, refreshing)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def origin(self, url: str) -> str:
        """The consumer that a URL leads to, as `host:port`; raises JobFailure (`url_refused`)."""
        return self._guard.target(url).origin

    async def check(self, url: str) -> None:
        """Find out whether anything may be sent to a URL; nothing is sent.

        Raises
        ------
        JobFailure
            `url_refused`; or `webhook_unavailable` where the host's name does not resolve.
        """
        try:
            target = self._guard.target(url)
            async with asyncio.timeout(self._timeout_s):
                await self._guard.addresses(target.host, target.port)
        except TimeoutError:
            raise JobFailure(
                ErrorCode.WEBHOOK_UNAVAILABLE,
                f"The webhook's host {target.host!r} was not resolved within "
                f"{self._timeout_s:g} s.",
            ) from None
        except JobFailure as failure:
            if failure.code is ErrorCode.URL_REFUSED:
                self._metrics.webhook_attempt("refused")
            raise

    async def deliver(self, url: str, event: Event, *, traceparent: str | None = None) -> None:
        """Deliver an event: returns when the consumer has taken it.

        Raises
        ------
        JobFailure
            `url_refused`, `webhook_gone`, `webhook_rejected`; or `webhook_unavailable`, where
            `retry_after_s` is the least wait that makes sense before the next receive.
        """
        try:
            target = self._guard.target(url)
            await self._deliver(target, event, traceparent)
        except JobFailure as failure:
            if failure.code is ErrorCode.URL_REFUSED:
                self._metrics.webhook_attempt("refused")
            raise

    async def attempt(self, url: str, event: Event, *, traceparent: str | None = None) -> bool:
        """Send an event once if there is room now; True if it was taken. Never raises.

        What becomes of it says nothing about the consumer's health: some take results only.
        """
        try:
            target = self._guard.target(url)
            consumer = self._consumer(target)
            consumer.breaker.check()
            if consumer.pace and consumer.pace.wait_s() > 0:
                return False
            async with self._bulkhead.spare_place(target.origin) as is_spare:
                if not is_spare:
                    return False
                if consumer.pace:
                    consumer.pace.reserve()
                outcome = await self._send(target, event, traceparent, timeout_s=PROGRESS_TIMEOUT_S)
        except (JobFailure, BreakerOpen, PaceExceeded):
            return False
        except Exception:
            _log.exception("progress_failed", job_id=event.job_id)
            return False
        return outcome.verdict is Verdict.TAKEN

    async def _deliver(self, target: Target, event: Event, traceparent: str | None) -> None:
        consumer = self._consumer(target)
        rejections = 0
        outcome: _Outcome | None = None
        for number in range(len(ATTEMPT_TIMES_S)):
            if outcome is not None:
                await asyncio.sleep(_pause_s(number, outcome.retry_after_s))
            outcome = await self._attempt(target, consumer, event, traceparent, resends=number)
            if outcome.verdict is Verdict.TAKEN:
                return
            _log.warning(
                "webhook_attempt_failed",
                consumer=target.origin,
                event_id=event.event_id,
                event_type=event.type,
                attempt=number + 1,
                status=outcome.status,
                reason=outcome.reason,
            )
            where = f"The webhook at {target.origin}"
            if outcome.verdict is Verdict.GONE:
                raise JobFailure(ErrorCode.WEBHOOK_GONE, f"{where} {outcome.reason}.")
            if outcome.verdict is Verdict.REJECTED:
                rejections += 1
                if rejections >= MAX_REJECTIONS:
                    raise JobFailure(
                        ErrorCode.WEBHOOK_REJECTED, f"{where} {outcome.reason}, twice."
                    )
                await self._renew_keys(outcome.status)
            if (outcome.retry_after_s or 0) > MAX_WAIT_HERE_S:
                break
        assert outcome is not None  # noqa: S101  the loop ran
        raise JobFailure(
            ErrorCode.WEBHOOK_UNAVAILABLE,
            f"The webhook at {target.origin} did not take the event: {outcome.reason}.",
            retry_after_s=outcome.retry_after_s,
        )

    async def _attempt(
        self,
        target: Target,
        consumer: _Consumer,
        event: Event,
        traceparent: str | None,
        *,
        resends: int,
    ) -> _Outcome:
        """Send once, when the consumer's breaker, pace and place allow it."""
        try:
            consumer.breaker.check()
            if consumer.pace and (wait_s := consumer.pace.reserve()):
                await asyncio.sleep(wait_s)
            async with self._bulkhead.place(target.origin):
                # Asked again: the wait for the place may have been long.
                consumer.breaker.admit()
                return await self._judged(target, consumer, event, traceparent, resends)
        except BreakerOpen as turned_away:
            self._metrics.webhook_attempt("open")
            reason, retry_after_s = "has failed repeatedly", turned_away.retry_after_s
        except Crowded:
            self._metrics.webhook_attempt("open")
            reason, retry_after_s = "answers nothing and has events enough", self._timeout_s
        except PaceExceeded as turned_away:
            self._metrics.webhook_attempt("open")
            reason, retry_after_s = "has its fill of events", turned_away.retry_after_s
        raise JobFailure(
            ErrorCode.WEBHOOK_UNAVAILABLE,
            f"The webhook at {target.origin} {reason}; it is left alone for now.",
            retry_after_s=retry_after_s,
        )

    async def _judged(
        self,
        target: Target,
        consumer: _Consumer,
        event: Event,
        traceparent: str | None,
        resends: int,
    ) -> _Outcome:
        """Send, and tell the breaker what the outcome says about the consumer."""
        was_open = consumer.breaker.is_open
        try:
            outcome = await self._send(target, event, traceparent, resends=resends)
        except BaseException:
            consumer.breaker.abandoned()
            raise
        # A refused event comes from a consumer that is there; a conflict does as well.
        if outcome.verdict is not Verdict.LATER or outcome.status == 409:
            consumer.breaker.succeeded()
        else:
            consumer.breaker.failed()
        if was_open or consumer.breaker.is_open:
            self._count_open()
        return outcome

    async def _send(
        self,
        target: Target,
        event: Event,
        traceparent: str | None,
        *,
        timeout_s: float | None = None,
        resends: int = 0,
    ) -> _Outcome:
        with spans.posting(target, resends=resends) as span:
            # The request's own span, where there is one; else what came with the message.
            parent = tracing.current_traceparent() if tracing.is_on() else traceparent
            outcome = await self._exchange(target, event, parent, timeout_s)
            if outcome.status is not None:
                span.set("http.response.status_code", outcome.status)
            if outcome.verdict is not Verdict.TAKEN:
                span.fail(str(outcome.status or ErrorCode.WEBHOOK_UNAVAILABLE))
        return outcome

    async def _exchange(
        self, target: Target, event: Event, traceparent: str | None, timeout_s: float | None
    ) -> _Outcome:
        now = datetime.now(UTC)
        headers = dict(
            self._keys.sign(event.event_id, now, event.body)
            if self._keys
            else signed_headers((), event.event_id, now, event.body)
        )
        # It comes out of a message: what is no trace context would be no header either.
        if traceparent and TRACEPARENT.fullmatch(traceparent):
            headers["traceparent"] = traceparent
        try:
            answer = await self._exchanger.post(target, event.body, headers, timeout_s=timeout_s)
        except ExchangeError as error:
            self._metrics.webhook_attempt("transport")
            return _Outcome(Verdict.LATER, str(error))
        except JobFailure as failure:
            if failure.code is ErrorCode.URL_REFUSED:
                raise
            self._metrics.webhook_attempt("transport")
            return _Outcome(Verdict.LATER, "its name could not be resolved")
        self._bulkhead.answered(target.origin)
        self._metrics.webhook_attempt(f"{answer.status // 100}xx")
        reason = f"answered {answer.status}"
        if 300 <= answer.status < 400:
            reason += ", a redirect, and redirects are not followed"
        return _Outcome(verdict(answer.status), reason, answer.retry_after_s, answer.status)

    async def _renew_keys(self, status: int | None) -> None:
        """Read the keys anew after a refused signature: they may just have been rotated."""
        if self._keys and status in (401, 403):
            await self._keys.refresh_if_stale()

    def _consumer(self, target: Target) -> _Consumer:
        consumer = self._consumers.get(target.origin)
        if consumer is None:
            consumer = self._consumers[target.origin] = _Consumer(self._max_rps)
        self._consumers.move_to_end(target.origin)
        while len(self._consumers) > MAX_CONSUMERS:
            self._consumers.popitem(last=False)
        return consumer

    def _count_open(self) -> None:
        self._metrics.breaker_state(
            sum(consumer.breaker.is_open for consumer in self._consumers.values())
        )


def _pause_s(number: int, retry_after_s: float | None) -> float:
    """The pause before an attempt: by the timetable, or as long as the consumer asked for."""
    usual_s = ATTEMPT_TIMES_S[number] - ATTEMPT_TIMES_S[number - 1]
    jittered_s = usual_s * random.uniform(1 - JITTER, 1 + JITTER)
    return max(jittered_s, retry_after_s or 0.0)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
