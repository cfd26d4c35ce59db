"""What spans say of queues, objects and webhooks, and what they keep to themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yarl
from botocore.exceptions import ClientError
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker import spans, tracing
from worker.locations import S3Location
from worker.metrics import Metrics
from worker.netguard import Target
from worker.queue import Message, Queue

REPOSITORY = Path(__file__).parents[2]
PRODUCERS = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracing.use_provider(provider)
    yield made
    tracing.use_provider(None)


def attributes(exporter: InMemorySpanExporter) -> dict[str, Any]:
    (span,) = exporter.get_finished_spans()
    return dict(span.attributes or {})


def queue(url: str = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs") -> Queue:
    return Queue(None, url, Metrics())  # type: ignore[arg-type]


def message(number: int, **attributes_: str) -> Message:
    return Message(f"m{number}", "handle", "{}", queue(), attributes=attributes_)


def test_a_queue_is_named_without_the_credentials_and_the_query_of_its_url(
    exporter: InMemorySpanExporter,
) -> None:
    url = "https://user:secret@sqs.test/1/jobs.fifo?token=secret"
    with spans.sending(url, kind="client"):
        pass
    said = attributes(exporter)
    assert said["aws.sqs.queue.url"] == "https://sqs.test/1/jobs.fifo"
    assert said["messaging.destination.name"] == "jobs.fifo"
    assert (said["server.address"], said["server.port"]) == ("sqs.test", 443)
    assert exporter.get_finished_spans()[0].name == "send jobs.fifo"


def test_a_key_is_shown_without_what_looks_like_a_query(exporter: InMemorySpanExporter) -> None:
    with spans.s3("GetObject", S3Location("b", "in/가 1.wav?X-Amz-Signature=abc")):
        pass
    assert attributes(exporter)["aws.s3.key"] == "in/가 1.wav"


@pytest.mark.parametrize(
    ("url", "host", "port", "shown"),
    [
        (
            "https://hooks.test/T0/secret?key=1",
            "hooks.test",
            443,
            "https://hooks.test:443/REDACTED",
        ),
        ("http://[2001:db8::1]:8080/x", "2001:db8::1", 8080, "http://[2001:db8::1]:8080/REDACTED"),
    ],
)
def test_of_a_webhook_only_scheme_host_and_port_are_shown(
    exporter: InMemorySpanExporter, url: str, host: str, port: int, shown: str
) -> None:
    with spans.posting(Target(yarl.URL(url), host, port), resends=0):
        pass
    assert attributes(exporter) == {
        "http.request.method": "POST",
        "server.address": host,
        "server.port": port,
        "url.full": shown,
    }


def test_a_receive_of_several_messages_links_to_the_origin_of_each(
    exporter: InMemorySpanExporter,
) -> None:
    with spans.receiving(queue()) as messages:
        messages += [message(i, traceparent=origin) for i, origin in enumerate(PRODUCERS)]
        messages += [message(3), message(4, traceparent="00-evil-1-01")]
    (span,) = exporter.get_finished_spans()
    assert [link.context.span_id for link in span.links] == [1, 2]
    assert attributes(exporter)["messaging.batch.message_count"] == 4


def test_a_long_poll_without_a_message_is_no_span(exporter: InMemorySpanExporter) -> None:
    with spans.receiving(queue()):
        pass
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ClientError({"Error": {"Code": "AccessDenied"}}, "ReceiveMessage"), "access_denied"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "x"), "credentials_expired"),
        (ConnectionError("https://secret"), "ConnectionError"),
    ],
)
def test_a_failed_receive_is_a_span_with_the_code_of_the_failure(
    exporter: InMemorySpanExporter, error: Exception, kind: str
) -> None:
    with pytest.raises(type(error)), spans.receiving(queue()):
        raise error
    assert attributes(exporter)["error.type"] == kind
    assert exporter.get_finished_spans()[0].status.description is None


def test_untraced_nothing_is_put_together() -> None:
    untouched: Any = object()  # an attribute of it that was asked for would raise
    for span in (
        spans.settling(untouched, "delete"),
        spans.sending(untouched, kind="client"),
        spans.s3("GetObject", untouched),
        spans.posting(untouched, resends=1),
        spans.step("fetch"),
        spans.analysing(),
    ):
        assert span is spans.OFF
    spans.answered(tracing.NO_SPAN, untouched)
    spans.sent(tracing.NO_SPAN, untouched)


def test_untraced_a_job_imports_nothing_of_opentelemetry() -> None:
    program = (
        "import sys; from worker import service, spans, tracing\n"
        "from worker.locations import S3Location; from worker.queue import Message, Queue\n"
        "queue = Queue(None, 'https://sqs.test/1/jobs', None)\n"
        f"message = Message('m', 'r', '', queue, attributes={{'traceparent': '{PRODUCERS[0]}'}})\n"
        "with spans.receiving(queue) as found: found.append(message)\n"
        "with spans.processing(message) as span:\n"
        "    spans.name_job('take-1'); spans.analysed({'decode': 1.0})\n"
        "    with spans.s3('GetObject', S3Location('b', 'k')): pass\n"
        "    print(tracing.current_traceparent()); spans.settled(span, 'completed', None)\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert shown.split() == [PRODUCERS[0], "False"]
