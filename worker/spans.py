"""The spans of a job: what each is called and what it says.

Names and attributes are those of the OpenTelemetry semantic conventions for messaging (Amazon SQS),
the AWS SDK (S3) and HTTP clients.

    process QUEUE          the job, from receipt to settlement: a child of the producer's span
      fetch                  S3.GetObject for each input
      analysis               analysis decode, analysis align, …
      S3.PutObject           the result that is kept
      deliver                POST, for each attempt
      delete QUEUE           or change_visibility QUEUE, or send DEAD-LETTER-QUEUE

No query, credentials, path of a webhook, body or metadata is in any of them. Nothing is put
together, and nothing of OpenTelemetry imported, while tracing is off.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from worker import tracing
from worker.netguard import DEFAULT_PORTS
from worker.tracing import NO_SPAN, Kind, Span, Value

if TYPE_CHECKING:
    from worker.locations import S3Location
    from worker.netguard import Target
    from worker.queue import Message, Queue

TRACEPARENT_ATTRIBUTE: Final = "traceparent"
"""The message attribute that carries the producer's context."""

REDACTED: Final = "REDACTED"
"""Stands for what a URL does not show (semantic conventions, "url.full")."""

DESTINATIONS_KEPT: Final = 64
"""Queues whose attributes are kept; a worker has a handful."""

OFF: Final[AbstractContextManager[Span]] = nullcontext(NO_SPAN)


def processing(message: Message) -> AbstractContextManager[Span]:
    """The job of one message; the producer's context is its parent and is linked to.

    Also without tracing it carries the producer's `traceparent` to what the job causes.
    """
    origin = message.attributes.get(TRACEPARENT_ATTRIBUTE)
    if not tracing.is_on():
        return tracing.span("process", traceparent=origin)
    return tracing.span(
        f"process {message.queue.name}",
        traceparent=origin,
        kind="consumer",
        attributes={
            **_operation(message.queue.url, "process", "process"),
            "messaging.message.id": message.message_id,
            "analysis_worker.receive_count": message.receive_count,
        },
    )


def name_job(job_id: str) -> None:
    """Say in the span of `processing` which job it is; known once the body is read."""
    tracing.annotate("messaging.message.conversation_id", job_id)


def settled(span: Span, outcome: str, code: str | None) -> None:
    """Say in the span of `processing` what became of the job."""
    span.set("analysis_worker.outcome", outcome)
    if code is not None:
        span.fail(code)


@contextmanager
def receiving(queue: Queue) -> Iterator[list[Message]]:
    """One receive, with a link to the origin of each message that is put into the list.

    A long poll that ends without a message is no span: there would be three a minute of them.
    """
    messages: list[Message] = []
    start_ns = time.time_ns()
    failure: Exception | None = None
    try:
        yield messages
    except Exception as error:
        failure = error
        raise
    finally:
        if tracing.is_on() and (messages or failure):
            tracing.record(
                f"receive {queue.name}",
                start_ns=start_ns,
                kind="client",
                attributes={
                    **_operation(queue.url, "receive", "receive"),
                    "messaging.batch.message_count": len(messages),
                },
                origins=[m.attributes.get(TRACEPARENT_ATTRIBUTE) for m in messages],
                error=failure,
            )


def settling(message: Message, operation: str) -> AbstractContextManager[Span]:
    """A settlement, until SQS has answered: `delete` or `change_visibility`."""
    if not tracing.is_on():
        return OFF
    return tracing.span(
        f"{operation} {message.queue.name}",
        kind="client",
        attributes={
            **_operation(message.queue.url, operation, "settle"),
            "messaging.message.id": message.message_id,
        },
    )


def sending(queue_url: str, *, kind: Kind) -> AbstractContextManager[Span]:
    """A message to another queue.

    Parameters
    ----------
    kind
        `producer` where the message carries this span's context on, else `client`.
    """
    if not tracing.is_on():
        return OFF
    return tracing.span(
        f"send {_name(queue_url)}", kind=kind, attributes=_operation(queue_url, "send", "send")
    )


def sent(span: Span, reply: Mapping[str, Any]) -> None:
    """Say in the span of `sending` which message came of it."""
    if tracing.is_on():
        span.set("messaging.message.id", str(reply["MessageId"]))
        answered(span, reply)


def s3(operation: str, location: S3Location) -> AbstractContextManager[Span]:
    """One call to S3 ("GetObject")."""
    if not tracing.is_on():
        return OFF
    return tracing.span(
        f"S3.{operation}",
        kind="client",
        attributes={
            "rpc.system": "aws-api",
            "rpc.service": "S3",
            "rpc.method": operation,
            "aws.s3.bucket": location.bucket,
            # A key may be a signed URL's that somebody has cut in the wrong place.
            "aws.s3.key": location.key.partition("?")[0],
        },
    )


def answered(span: Span, reply: Mapping[str, Any]) -> None:
    """Say under which ids AWS knows the call: what its support asks for."""
    if not tracing.is_on():
        return
    metadata = reply.get("ResponseMetadata", {})
    for name, field in (("aws.request_id", "RequestId"), ("aws.extended_request_id", "HostId")):
        if value := metadata.get(field):
            span.set(name, str(value))


def posting(target: Target, *, resends: int) -> AbstractContextManager[Span]:
    """One request to a webhook.

    Its path is not shown: with many services the path is the secret.

    Parameters
    ----------
    resends
        How often this event was sent before, in this delivery.
    """
    if not tracing.is_on():
        return OFF
    attributes: dict[str, Value] = {
        "http.request.method": "POST",
        "server.address": target.host,
        "server.port": target.port,
        "url.full": f"{target.url.scheme}://{target.origin}/{REDACTED}",
    }
    if resends:
        attributes["http.request.resend_count"] = resends
    return tracing.span("POST", kind="client", attributes=attributes)


def analysing() -> AbstractContextManager[Span]:
    """The analysis of one job, from the wait for a slot to its result."""
    return tracing.span("analysis") if tracing.is_on() else OFF


def analysed(stages_s: Mapping[str, float]) -> None:
    """The stages of the analysis that has just ended, as children of `analysing`.

    Parameters
    ----------
    stages_s
        Seconds by stage, in the order in which the stages ran.
    """
    tracing.record_stages({name: 1000 * spent_s for name, spent_s in stages_s.items()})


def step(name: str) -> AbstractContextManager[Span]:
    """A part of the job inside this process: `fetch`, `deliver`."""
    return tracing.span(name) if tracing.is_on() else OFF


def _operation(queue_url: str, name: str, kind: str) -> dict[str, Value]:
    return {
        **dict(_destination(queue_url)),
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }


@lru_cache(maxsize=DESTINATIONS_KEPT)
def _destination(queue_url: str) -> Sequence[tuple[str, Value]]:
    """What all spans of a queue say, without the URL's credentials and query."""
    parts = urlsplit(queue_url)
    host = parts.hostname or ""
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, DEFAULT_PORTS["https"])
    netloc = parts.netloc.rpartition("@")[2]
    return (
        ("messaging.system", "aws_sqs"),
        ("messaging.destination.name", _name(queue_url)),
        ("aws.sqs.queue.url", f"{parts.scheme}://{netloc}{parts.path}"),
        ("server.address", host),
        ("server.port", port),
    )


def _name(queue_url: str) -> str:
    return urlsplit(queue_url).path.rstrip("/").rsplit("/", 1)[-1]
