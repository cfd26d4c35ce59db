"""What the worker counts and times: Prometheus metrics, and the same as EMF where asked for.

Every label has few values: codes and stages are closed lists, a queue is named by the last part
of its URL, and no job, host or bucket is ever a label. Should a label run away all the same, its
further values are counted as `other`, so that memory stays flat.
The table of all metrics with their meaning: docs/operations.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
from typing import TYPE_CHECKING, Any, Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from worker import __version__
from worker.emf import FLUSH_INTERVAL_S, EmfWriter
from worker.failures import CODES, Policy

if TYPE_CHECKING:
    from worker.settings import Settings

M = TypeVar("M", Counter, Gauge, Histogram)

PREFIX: Final = "analysis_worker"

MAX_LABEL_VALUES: Final = 64
"""Distinct values that one label may take before further ones become `OTHER`."""

OTHER: Final = "other"
NO_CODE: Final = "none"
"""The `code` of an outcome that is no failure."""

STAGES: Final = ("wait", "fetch", "decode", "align", "pitch", "score", "deliver", "total")
"""A job's stages in time order; `total` runs from receipt to settlement."""

LOST_REASONS: Final = ("expired", "came_back")
RESTART_CAUSES: Final = (
    *("worker_lost", "timeout", "died_idle", "cancelled", "fault", "max_jobs", "max_memory"),
)
STATUS_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", "transport", "refused", "open")
OPERATIONS: Final = (
    *("ReceiveMessage", "DeleteMessageBatch", "SendMessage"),
    *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
)

STAGE_BUCKETS_S: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""From a cached answer (5 ms) to the default JOB_TIMEOUT_S (600 s)."""

LAG_BUCKETS_S: Final = (
    *(0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
    *(1800.0, 3600.0, 7200.0, 21600.0, 86400.0),
)
"""From an idle fleet (a tenth of a second) to a day's backlog."""


def queue_name(url: str) -> str:
    """The queue's name, which stands at the end of its URL."""
    return url.rstrip("/").rsplit("/", 1)[-1]


class Metrics:
    """All metrics of one worker, in a registry of its own.

    Parameters
    ----------
    emf
        Writes the same numbers in CloudWatch's Embedded Metric Format; None = Prometheus alone.
    """

    def __init__(self, *, emf: EmfWriter | None = None) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._emf = emf
        self._flusher: asyncio.Task[None] | None = None
        self._seen: dict[str, set[str]] = {}
        self._children: dict[tuple[Any, ...], Any] = {}
        self._in_flight_now = 0
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._build_info()

        self._received = self._counter("messages_received", "Messages received.", "queue")
        self._lag = self._histogram(
            "queue_lag_seconds",
            "Time from SentTimestamp to receipt, for each message received.",
            LAG_BUCKETS_S,
            "queue",
        )
        self._settled = self._counter(
            "jobs_settled",
            "Receives that were settled, by what became of the message and why.",
            "outcome",
            "code",
        )
        self._duration = self._histogram(
            "job_stage_duration_seconds",
            "Time that a job spent in a stage.",
            STAGE_BUCKETS_S,
            "stage",
        )
        self._in_flight = self._gauge("jobs_in_flight", "Jobs received and not yet settled.")
        self._slots = self._gauge("slots", "Analysis slots.")
        self._slots_busy = self._gauge("slots_busy", "Analysis slots that hold a job.")
        self._renewals = self._counter("lease_renewals", "Visibility renewals that SQS accepted.")
        self._lost = self._counter(
            "leases_lost", "Jobs given up as their lease was lost.", "reason"
        )
        self._restarts = self._counter(
            "child_restarts", "Analysis processes replaced, by cause.", "cause"
        )
        self._attempts = self._counter(
            "webhook_attempts", "Webhook attempts by class of answer.", "status_class"
        )
        self._breakers = self._gauge(
            "webhook_breakers_open", "Webhook hosts whose circuit breaker is open."
        )
        self._calls = self._counter("sqs_calls", "Calls to SQS.", "operation", "result")
        self._delivered = self._counter("events_delivered", "Events taken by a sink.", "sink")
        self._protection_failures = self._counter(
            "ecs_protection_failures", "Refused or unanswered calls to the ECS agent."
        )
        self._depth = self._gauge(
            "queue_messages", "Messages in a queue, where METRICS_QUEUE_DEPTH is set.",
            "queue", "state",
        )  # fmt: skip

        self._begin_at_nought()

    def _begin_at_nought(self) -> None:
        """Make the counters that alerts watch, before anything is counted.

        Prometheus sees no increase in a series that begins at 1: the first of its kind would
        raise no alert ("Instrumentation", "Avoid missing metrics").
        """
        self._settled.labels("completed", NO_CODE)
        for code, info in CODES.items():
            if info.policy in (Policy.RETRY, Policy.RETRY_LIMITED):
                self._settled.labels("retried", str(code))
            self._settled.labels("dead_lettered", str(code))
        for reason in LOST_REASONS:
            self._lost.labels(reason)
        for cause in RESTART_CAUSES:
            self._restarts.labels(cause)
        for status_class in STATUS_CLASSES:
            self._attempts.labels(status_class)
        for operation in OPERATIONS:
            self._calls.labels(operation, "ok")
            self._calls.labels(operation, "error")

    @classmethod
    def for_settings(cls, settings: Settings) -> Metrics:
        """Metrics as the settings ask for them."""
        return cls(emf=EmfWriter() if settings.metrics_emf else None)

    # --- what the rooms of the worker report

    def received(self, queue: str, count: int, lag_s: float) -> None:
        """`count` messages came from a queue (a URL or a name), sent `lag_s` ago."""
        name = self._bounded("queue", queue_name(queue))
        self._child(self._received, name).inc(count)
        for _ in range(count):
            self._child(self._lag, name).observe(max(0.0, lag_s))
        if self._emf:
            self._emf.count("MessagesReceived", count, Queue=name)
            for _ in range(count):
                self._emf.observe("QueueLag", max(0.0, lag_s), Queue=name)

    def settled(self, outcome: str, code: str | None = None) -> None:
        """A receive was settled: `outcome` says how, `code` why (None or empty: no failure)."""
        outcome = self._bounded("outcome", outcome)
        code = self._bounded("code", code or NO_CODE)
        self._child(self._settled, outcome, code).inc()
        if self._emf:
            self._emf.count("JobsSettled", Outcome=outcome, Code=code)

    def job_duration(self, stage: str, seconds: float) -> None:
        """A job spent `seconds` in a stage, one of `STAGES`."""
        stage = self._bounded("stage", stage)
        self._child(self._duration, stage).observe(seconds)
        if self._emf:
            self._emf.observe("StageDuration", seconds, Stage=stage)

    def in_flight(self, delta: int) -> None:
        """That many more (or, negative, fewer) jobs are received and not yet settled."""
        self._in_flight_now += delta
        self._in_flight.set(self._in_flight_now)
        if self._emf:
            self._emf.gauge("JobsInFlight", self._in_flight_now)

    def slots(self, total: int, busy: int) -> None:
        """How many analysis slots there are, and how many of them hold a job."""
        self._slots.set(total)
        self._slots_busy.set(busy)
        if self._emf:
            self._emf.gauge("Slots", total)
            self._emf.gauge("SlotsBusy", busy)

    def lease_renewed(self, count: int = 1) -> None:
        """SQS accepted that many renewals."""
        self._renewals.inc(count)
        if self._emf:
            self._emf.count("LeaseRenewals", count)

    def lease_lost(self, reason: str) -> None:
        """A job was given up: its lease ran out, or its message came back."""
        reason = self._bounded("reason", reason)
        self._child(self._lost, reason).inc()
        if self._emf:
            self._emf.count("LeasesLost", Reason=reason)

    def child_restarted(self, cause: str) -> None:
        """An analysis process was replaced."""
        cause = self._bounded("cause", cause)
        self._child(self._restarts, cause).inc()
        if self._emf:
            self._emf.count("ChildRestarts", Cause=cause)

    def webhook_attempt(self, status_class: str) -> None:
        """One attempt ended: `2xx` … `5xx`, `transport`, `refused`, or `open` (not tried)."""
        status_class = self._bounded("status_class", status_class)
        self._child(self._attempts, status_class).inc()
        if self._emf:
            self._emf.count("WebhookAttempts", StatusClass=status_class)

    def breaker_state(self, open_count: int) -> None:
        """How many webhook hosts are not tried for the moment."""
        self._breakers.set(open_count)
        if self._emf:
            self._emf.gauge("WebhookBreakersOpen", open_count)

    def sqs_call(self, operation: str, ok: bool) -> None:
        """A call to SQS ended."""
        operation = self._bounded("operation", operation)
        result = "ok" if ok else "error"
        self._child(self._calls, operation, result).inc()
        if self._emf:
            self._emf.count("SqsCalls", Operation=operation, Result=result)

    def delivered(self, sink: str) -> None:
        """An event was taken by a sink: `webhook` or `result_queue`."""
        sink = self._bounded("sink", sink)
        self._child(self._delivered, sink).inc()
        if self._emf:
            self._emf.count("EventsDelivered", Sink=sink)

    def ecs_protection_failed(self) -> None:
        """The ECS agent refused a change of scale-in protection, or did not answer."""
        self._protection_failures.inc()
        if self._emf:
            self._emf.count("EcsProtectionFailures")

    def queue_depth(self, queue: str, *, visible: int, in_flight: int, delayed: int) -> None:
        """What GetQueueAttributes says of a queue; approximate, as SQS says itself."""
        name = self._bounded("queue", queue_name(queue))
        states = {"visible": visible, "in_flight": in_flight, "delayed": delayed}
        for state, count in states.items():
            self._child(self._depth, name, state).set(count)
            if self._emf:
                self._emf.gauge("QueueMessages", count, Queue=name, State=state)

    # --- life

    async def start(self) -> None:
        """Write EMF lines on time even while nothing happens."""
        if self._emf and self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_regularly(self._emf), name="emf")

    async def stop(self) -> None:
        """Write what is left."""
        if self._flusher is not None:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
            self._flusher = None
        if self._emf:
            self._emf.flush()

    @staticmethod
    async def _flush_regularly(emf: EmfWriter) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            emf.flush()

    # --- making metrics

    def _bounded(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        if value in seen:
            return value
        if len(seen) >= MAX_LABEL_VALUES:
            return OTHER
        seen.add(value)
        return value

    def _child(self, metric: M, *labels: str) -> M:
        """The series of bounded labels; to look it up in the metric takes longer than to count."""
        key = (metric, labels)
        child: M | None = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def _build_info(self) -> None:
        info = self._gauge(
            "build_info", "Always 1; the labels say which build.", "version", "python"
        )
        info.labels(__version__, platform.python_version()).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self.registry)
