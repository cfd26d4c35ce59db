"""Traces: one line of spans from the producer through fetch, analysis and delivery to the webhook.

With the `otel` extra and an exporter in the environment (OTEL_EXPORTER_OTLP_ENDPOINT), spans are
sent by OpenTelemetry. Without, nothing of it is imported: a span only carries the producer's
`traceparent` on, so that a trace is not cut where this worker is not traced. What the spans are
called, and what they say, is in worker/spans.py.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from worker.failures import JobFailure, classify

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

Kind = Literal["internal", "client", "consumer", "producer"]
Value = str | int | float | bool

_EXPORTER_VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
TRACEPARENT: Final = re.compile(
    r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""The header's form (W3C Trace Context, "traceparent"); ids of noughts alone are invalid there."""

_carried: ContextVar[str | None] = ContextVar("traceparent", default=None)
_tracer: Tracer | None = None
_provider: TracerProvider | None = None


class Span(Protocol):
    """What a caller may do to a span."""

    def set(self, name: str, value: Value) -> None:
        """Add an attribute that is known only later (a status code, a size)."""

    def fail(self, kind: str) -> None:
        """Say that the work failed though nothing was raised: `kind` is the `error.type`."""


class _NoSpan:
    def set(self, name: str, value: Value) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass


class _RealSpan:
    def __init__(self, span: Any) -> None:
        self._span = span

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        # The text of an error may hold a URL; its kind is enough here, the log has the rest.
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


NO_SPAN: Final = _NoSpan()


def is_on() -> bool:
    """Whether spans are made: what a span says need not be put together otherwise."""
    return _tracer is not None


def configure() -> bool:
    """Begin to trace where the environment names an exporter and the extra is installed.

    Returns
    -------
    bool
        Whether spans are sent.
    """
    if not any(os.environ.get(name) for name in _EXPORTER_VARIABLES):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return False
    from worker import __version__

    service = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "analysis-worker")}
    provider = TracerProvider(resource=Resource.create({**service, "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use_provider(provider)
    return True


def use_provider(provider: TracerProvider | None) -> None:
    """Send spans through this provider; None stops."""
    global _tracer, _provider  # noqa: PLW0603  one process, one tracer, as OpenTelemetry has it
    _provider = provider
    _tracer = None if provider is None else provider.get_tracer("analysis-worker")


def shutdown() -> None:
    """Send what is left; blocks for as long as the exporter takes (a few seconds at most)."""
    if _provider is not None:
        _provider.shutdown()
    use_provider(None)


@contextmanager
def span(
    name: str,
    *,
    traceparent: str | None = None,
    kind: Kind = "internal",
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Span]:
    """Time a piece of work as a span; what it raises is its `error.type`.

    Parameters
    ----------
    traceparent
        The W3C header of the work's origin (the message attribute), which becomes its parent and
        is linked to; a wrong one is ignored. Without it the span is a child of the one around it.
    attributes
        What is known of the work at its start.
    """
    origin = traceparent if traceparent and TRACEPARENT.fullmatch(traceparent) else None
    token = _carried.set(origin) if origin else None
    try:
        if _tracer is None:
            yield NO_SPAN
        else:
            with _real_span(_tracer, name, origin, kind, attributes) as real:
                yield real
    finally:
        if token is not None:
            _carried.reset(token)


@contextmanager
def _real_span(
    tracer: Tracer,
    name: str,
    origin: str | None,
    kind: Kind,
    attributes: Mapping[str, Value] | None,
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind

    with tracer.start_as_current_span(
        name,
        context=_context_of(origin),
        kind=SpanKind[kind.upper()],
        attributes=dict(attributes or {}),
        links=_links_to([origin]),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        real = _RealSpan(current)
        try:
            yield real
        except BaseException as error:
            real.fail(_kind_of(error))
            raise


def record(
    name: str,
    *,
    start_ns: int,
    kind: Kind = "internal",
    attributes: Mapping[str, Value] | None = None,
    origins: Sequence[str | None] = (),
    error: BaseException | None = None,
) -> None:
    """Write a span of work that ends now, where only its end shows whether it is worth one.

    Parameters
    ----------
    start_ns
        Unix time in nanoseconds.
    origins
        The `traceparent` of every message that it took; linked to.
    """
    if _tracer is None:
        return
    from opentelemetry.trace import SpanKind

    made = _tracer.start_span(
        name,
        kind=SpanKind[kind.upper()],
        attributes=dict(attributes or {}),
        links=_links_to(origins),
        start_time=start_ns,
    )
    if error is not None:
        _RealSpan(made).fail(_kind_of(error))
    made.end()


def annotate(name: str, value: Value) -> None:
    """Add an attribute to the span around."""
    if _tracer is None:
        return
    from opentelemetry.trace import get_current_span

    get_current_span().set_attribute(name, value)


def record_stages(timings_ms: Mapping[str, float]) -> None:
    """Write the analysis process's stages, which ended just now one after the other, as spans.

    Parameters
    ----------
    timings_ms
        Stage names to milliseconds, in the order in which the stages ran.
    """
    if _tracer is None:
        return
    end_ns = time.time_ns()
    start_ns = end_ns - int(sum(timings_ms.values()) * 1e6)
    for stage, duration_ms in timings_ms.items():
        stage_end_ns = start_ns + int(duration_ms * 1e6)
        _tracer.start_span(f"analysis {stage}", start_time=start_ns).end(stage_end_ns)
        start_ns = stage_end_ns


def current_traceparent() -> str | None:
    """The `traceparent` header for a request or message that this work causes."""
    if _tracer is None:
        return _carried.get()
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return _carried.get()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _kind_of(error: BaseException) -> str:
    """The error's code; the name of its class where it has none."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, JobFailure | ClientError | BotoCoreError):
        return str(classify(error).code)
    return type(error).__qualname__


def _links_to(origins: Sequence[str | None]) -> list[Any]:
    from opentelemetry.trace import Link

    return [
        Link(_span_context(origin))
        for origin in origins
        if origin is not None and TRACEPARENT.fullmatch(origin)
    ]


def _context_of(origin: str | None) -> Any:
    if origin is None:
        return None
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return set_span_in_context(NonRecordingSpan(_span_context(origin)))


def _span_context(origin: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = origin.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
