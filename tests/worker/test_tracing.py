from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from worker import tracing
from worker.failures import ErrorCode, JobFailure

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracing.use_provider(provider)
    yield made
    tracing.use_provider(None)


def test_one_trace_leads_from_the_producer_to_the_webhook(exporter: InMemorySpanExporter) -> None:
    with tracing.span(
        "process jobs",
        traceparent=TRACEPARENT,
        kind="consumer",
        attributes={"job.id": "take-42"},
    ):
        with tracing.span("S3.GetObject", kind="client"):
            pass
        tracing.record_stages({"decode": 5.0, "align": 40.0})
        with tracing.span("POST", kind="client") as webhook:
            header = tracing.current_traceparent()
            webhook.set("http.response.status_code", 200)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {
        *("process jobs", "S3.GetObject", "analysis decode", "analysis align", "POST"),
    }
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE_ID}
    job = spans["process jobs"]
    assert job.parent is not None
    assert f"{job.parent.span_id:016x}" == PARENT_ID
    assert [f"{link.context.span_id:016x}" for link in job.links] == [PARENT_ID]
    assert job.kind is SpanKind.CONSUMER
    assert job.attributes is not None
    assert job.attributes["job.id"] == "take-42"
    for name in ("S3.GetObject", "analysis decode", "analysis align", "POST"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == job.context.span_id
    assert header == f"00-{TRACE_ID}-{spans['POST'].context.span_id:016x}-01"
    assert dict(spans["POST"].attributes or {}) == {"http.response.status_code": 200}


def test_analysis_stages_follow_each_other_and_end_now(exporter: InMemorySpanExporter) -> None:
    with tracing.span("process jobs"):
        tracing.record_stages({"decode": 5.0, "align": 40.0})
    decode, align, _ = exporter.get_finished_spans()
    assert decode.start_time is not None
    assert decode.end_time is not None
    assert align.start_time == decode.end_time
    assert decode.end_time - decode.start_time == 5_000_000


def test_an_error_is_named_by_its_code_and_not_by_its_text(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(JobFailure), tracing.span("S3.GetObject"):
        raise JobFailure(ErrorCode.NOT_FOUND, "There is no s3://b/k?X-Amz-Signature=abc.")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "not_found"
    assert span.events == ()
    assert span.status.description is None


@pytest.mark.parametrize(
    "wrong",
    ["", "x", TRACEPARENT.upper(), f"00-{'0' * 32}-{PARENT_ID}-01", f"00-{TRACE_ID}-{'0' * 16}-01"],
)
def test_a_wrong_traceparent_begins_a_trace_of_its_own(
    exporter: InMemorySpanExporter, wrong: str
) -> None:
    with tracing.span("process jobs", traceparent=wrong):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_an_unsampled_trace_stays_unsampled(exporter: InMemorySpanExporter) -> None:
    with tracing.span("process jobs", traceparent=TRACEPARENT[:-2] + "00"):
        header = tracing.current_traceparent()
    assert header is not None
    assert header.startswith(f"00-{TRACE_ID}-")
    assert header.endswith("-00")
    assert exporter.get_finished_spans() == ()


def test_untraced_the_producers_header_is_handed_on() -> None:
    with tracing.span("process jobs", traceparent=TRACEPARENT) as span:
        span.set("ignored", 1)
        with tracing.span("POST"):
            assert tracing.current_traceparent() == TRACEPARENT
    assert tracing.current_traceparent() is None


def test_untraced_a_wrong_header_is_not_handed_on() -> None:
    with tracing.span("process jobs", traceparent="00-evil\r\nX: y-01"):
        assert tracing.current_traceparent() is None


def in_a_fresh_process(program: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


def test_nothing_of_opentelemetry_is_imported_without_an_exporter() -> None:
    program = (
        "import sys; from worker import tracing; print(tracing.configure())\n"
        "with tracing.span('x'): tracing.record_stages({'a': 1.0})\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert in_a_fresh_process(program) == "False\nFalse"


def test_without_the_extra_an_exporter_in_the_environment_does_no_harm() -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'opentelemetry': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from worker import tracing; print(tracing.configure())"
    )
    assert in_a_fresh_process(program, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") == "False"


def test_with_the_extra_and_an_exporter_spans_are_made() -> None:
    program = (
        "from worker import tracing; print(tracing.configure())\n"
        "with tracing.span('x'): print(len(tracing.current_traceparent()))"
    )
    shown = in_a_fresh_process(
        program,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_BSP_SCHEDULE_DELAY="600000",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    assert shown.splitlines()[:2] == ["True", "55"]
