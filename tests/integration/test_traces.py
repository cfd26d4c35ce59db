"""One trace from the producer to the webhook: the worker as it is, its spans kept in memory."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from tests.integration.account import CREDENTIALS, REGION, Account, TestQueue
from tests.integration.inbox import SECRET, Inbox
from worker import metrics, service, tracing
from worker.settings import Settings

FIXTURES = Path(__file__).parents[1] / "fixtures" / "lantern"
STAGES = ("decode", "align", "pitch", "score")
PATH_SECRET = "T0KEN-in-the-path"
QUERY_SECRET = "T0KEN-in-the-query"
LEARNER = "Mina Kim, mina@example.org"
SIGNATURE = "0a1b2c3d4e5f"


@dataclass(frozen=True)
class Job:
    """One job; `number` is its trace's id, and that of the producer's span in it."""

    job_id: str
    number: int


GOOD = Job("take-good", 0x111)
MISSING = Job("take-missing", 0x222)
REFUSED = Job("take-refused", 0x333)
JOBS = (GOOD, MISSING, REFUSED)


@dataclass(frozen=True)
class Traced:
    """All that a worker wrote while it did its jobs."""

    spans: tuple[ReadableSpan, ...]
    inbox: Inbox
    queue: TestQueue
    answers: TestQueue
    answered: Mapping[str, str]
    """The `traceparent` of each message in the results queue, by message id."""
    bucket: str
    results: str

    def of(self, job: Job, name: str | None = None) -> list[ReadableSpan]:
        """The spans of one job's trace in the order of their beginning; those of one name."""
        found = [span for span in self.spans if context(span).trace_id == job.number]
        found.sort(key=lambda span: span.start_time or 0)
        return [span for span in found if name in (None, span.name)]

    def the(self, job: Job, name: str) -> ReadableSpan:
        """The only span of that name in one job's trace."""
        (span,) = self.of(job, name)
        return span

    def job(self, job: Job) -> ReadableSpan:
        """The span of the job itself."""
        return self.the(job, f"process {self.queue.name}")


def traceparent(job: Job) -> str:
    return f"00-{job.number:032x}-{job.number:016x}-01"


def context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def linked(span: ReadableSpan) -> list[SpanContext]:
    return [link.context for link in span.links]


def said(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def spent_ms(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e6


@pytest.fixture(scope="module")
def traced(account: Account, inbox: Inbox) -> Traced:
    """A run of the real service: its consumer, analysis process, S3, queues and webhook."""
    names = ("good.flac", "actor.TextGrid", "pitch.json")
    bucket = account.bucket({f"in/{name}": (FIXTURES / name).read_bytes() for name in names})
    results = account.bucket()
    queue = account.queue(max_receives=2)
    answers = account.queue(dead_letters=False)
    signed = f"X-Amz-Credential=AKIA&X-Amz-Signature={SIGNATURE}"
    for job, fields in {
        GOOD: {"s3_audio_url": f"{account.endpoint}/{bucket}/in/good.flac?{signed}"},
        MISSING: {"s3_audio_url": f"s3://{bucket}/in/none.flac?{signed}"},
        REFUSED: {"webhook_url": inbox.url(f"answer/410/{PATH_SECRET}")},
    }.items():
        body = {
            "job_id": job.job_id,
            "s3_audio_url": f"s3://{bucket}/in/good.flac",
            "s3_textgrid_url": f"s3://{bucket}/in/actor.TextGrid",
            "s3_pitch_url": f"s3://{bucket}/in/pitch.json",
            "webhook_url": inbox.url(f"once/503/{PATH_SECRET}/{job.job_id}?key={QUERY_SECRET}"),
            "metadata": {"learner": LEARNER},
        }
        queue.send(body | fields, traceparent=traceparent(job))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": account.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **CREDENTIALS,
        }.items():
            patch.setenv(name, value)
        patch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0, 0.01, 0.03))
        settings = Settings(
            _env_file=None,
            queue_url=queue.url,
            result_queue_url=answers.url,
            results_bucket=results,
            webhook_secret=SECRET,
            webhook_allow_private=True,
            progress_events=False,
            concurrency=1,
            wait_time_s=1,
            health_port=0,
        )
        hangup = signal.getsignal(signal.SIGHUP)
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracing.use_provider(provider)
        try:
            assert asyncio.run(service.run(settings, until_empty=True)) == service.EXIT_SETTLED
        finally:
            tracing.use_provider(None)
            signal.signal(signal.SIGHUP, hangup)
    told = account.sqs.receive_message(
        QueueUrl=answers.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    answered = {
        message["MessageId"]: message["MessageAttributes"]["traceparent"]["StringValue"]
        for message in told["Messages"]
    }
    return Traced(exporter.get_finished_spans(), inbox, queue, answers, answered, bucket, results)


def test_one_trace_leads_from_the_producer_through_s3_and_analysis_to_the_webhook(
    traced: Traced,
) -> None:
    job = traced.job(GOOD)
    assert parent_of(job) == GOOD.number
    assert [context_.span_id for context_ in linked(job)] == [GOOD.number]
    children = {
        *("fetch", "S3.GetObject", "S3.PutObject", "S3.DeleteObject", "analysis", "deliver"),
        f"delete {traced.queue.name}",
    }
    own = [span for span in traced.of(GOOD) if parent_of(span) == context(job).span_id]
    assert {span.name for span in own} == children
    fetch, analysis, deliver = (traced.the(GOOD, n) for n in ("fetch", "analysis", "deliver"))
    below = {
        step.name: [s.name for s in traced.of(GOOD) if parent_of(s) == context(step).span_id]
        for step in (fetch, analysis, deliver)
    }
    assert below == {
        "fetch": ["S3.GetObject"] * 3,
        "analysis": [f"analysis {stage}" for stage in STAGES],
        "deliver": [f"send {traced.answers.name}", "POST", "POST"],
    }
    assert len(traced.of(GOOD)) == 1 + len(own) + sum(map(len, below.values()))
    for delivery, post in zip(traced.inbox.of(GOOD.job_id), traced.of(GOOD, "POST"), strict=True):
        assert delivery.traceparent == f"00-{GOOD.number:032x}-{context(post).span_id:016x}-01"


def test_the_message_of_the_results_queue_goes_on_with_the_trace(traced: Traced) -> None:
    sent = traced.the(GOOD, f"send {traced.answers.name}")
    assert sent.kind is SpanKind.PRODUCER
    wanted = f"00-{GOOD.number:032x}-{context(sent).span_id:016x}-01"
    assert traced.answered[said(sent)["messaging.message.id"]] == wanted


def test_spans_of_the_queue_say_what_the_messaging_conventions_ask_for(traced: Traced) -> None:
    queue = {
        "messaging.system": "aws_sqs",
        "messaging.destination.name": traced.queue.name,
        "aws.sqs.queue.url": traced.queue.url,
        "server.address": urlsplit(traced.queue.url).hostname,
        "server.port": urlsplit(traced.queue.url).port,
    }
    job = traced.job(GOOD)
    assert job.kind is SpanKind.CONSUMER
    assert job.status.status_code is StatusCode.UNSET
    assert said(job) == {
        **queue,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": said(job)["messaging.message.id"],
        "messaging.message.conversation_id": GOOD.job_id,
        "analysis_worker.receive_count": 1,
        "analysis_worker.outcome": "completed",
    }
    deleted = traced.the(GOOD, f"delete {traced.queue.name}")
    assert deleted.kind is SpanKind.CLIENT
    assert said(deleted) == {
        **queue,
        "messaging.operation.name": "delete",
        "messaging.operation.type": "settle",
        "messaging.message.id": said(job)["messaging.message.id"],
    }


def test_a_receive_links_to_every_producer_whose_message_it_got(traced: Traced) -> None:
    receives = [span for span in traced.spans if span.name == f"receive {traced.queue.name}"]
    assert all(span.kind is SpanKind.CLIENT and span.parent is None for span in receives)
    origins = sorted(context_.span_id for span in receives for context_ in linked(span))
    assert origins == sorted(job.number for job in JOBS)
    for span in receives:
        # The long polls that ended without a message, of which there were some, are no spans.
        assert said(span)["messaging.batch.message_count"] == len(linked(span)) > 0
        assert said(span)["messaging.operation.type"] == "receive"


def test_spans_of_s3_say_what_the_sdk_conventions_ask_for(traced: Traced) -> None:
    fetch = context(traced.the(GOOD, "fetch")).span_id
    calls = [span for span in traced.of(GOOD, "S3.GetObject") if parent_of(span) == fetch]
    keys = {said(span)["aws.s3.key"] for span in calls}
    assert keys == {"in/good.flac", "in/actor.TextGrid", "in/pitch.json"}
    for span in calls:
        assert span.kind is SpanKind.CLIENT
        assert said(span)["aws.request_id"]
        assert {
            "rpc.system": "aws-api",
            "rpc.service": "S3",
            "rpc.method": "GetObject",
            "aws.s3.bucket": traced.bucket,
        }.items() <= said(span).items()
    written = traced.of(GOOD, "S3.PutObject")
    assert {said(span)["aws.s3.bucket"] for span in written} == {traced.results}
    assert any(GOOD.job_id in said(span)["aws.s3.key"] for span in written)


def test_each_request_to_the_webhook_is_a_span_of_the_http_conventions(traced: Traced) -> None:
    first, second = traced.of(GOOD, "POST")
    port = urlsplit(traced.inbox.url()).port
    request = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.full": f"http://127.0.0.1:{port}/REDACTED",
    }
    assert first.kind is second.kind is SpanKind.CLIENT
    assert said(first) == {**request, "http.response.status_code": 503, "error.type": "503"}
    assert first.status.status_code is StatusCode.ERROR
    assert said(second) == {
        **request,
        "http.response.status_code": 204,
        "http.request.resend_count": 1,
    }
    assert second.status.status_code is StatusCode.UNSET


def test_the_stages_of_the_analysis_last_as_long_as_the_result_says(traced: Traced) -> None:
    assert set(STAGES) <= set(metrics.STAGES)
    analysis = traced.the(GOOD, "analysis")
    stages = [traced.the(GOOD, f"analysis {stage}") for stage in STAGES]
    timings = traced.inbox.of(GOOD.job_id)[-1].event["data"]["result"]["timings_ms"]
    measured = sum(timings[stage] for stage in STAGES if stage in timings)
    assert len(timings) > len(STAGES) - 1  # what follows the measuring is one stage here
    for stage, span in zip(STAGES, stages, strict=True):
        own = timings[stage] if stage in timings else sum(timings.values()) - measured
        assert spent_ms(span) == pytest.approx(own, abs=0.02)
        assert span.kind is SpanKind.INTERNAL
    assert [span.start_time for span in stages[1:]] == [span.end_time for span in stages[:-1]]
    assert 0 < sum(map(spent_ms, stages)) <= spent_ms(analysis)


def test_the_span_of_a_failed_job_says_its_code_and_so_does_what_failed(traced: Traced) -> None:
    job = traced.job(MISSING)
    assert job.status.status_code is StatusCode.ERROR
    assert said(job)["error.type"] == "not_found"
    assert said(job)["analysis_worker.outcome"] == "dead_letter"
    failed = [span for span in traced.of(MISSING) if "error.type" in said(span)]
    assert {span.name for span in failed} >= {"fetch", "S3.GetObject"}
    assert all(span.status.status_code is StatusCode.ERROR for span in failed)
    assert all(span.status.description is None and not span.events for span in failed)
    dead = traced.the(MISSING, f"send {traced.queue.name}-dlq")
    assert dead.kind is SpanKind.CLIENT
    # The consumer is told in the same trace.
    (_, told) = traced.inbox.of(MISSING.job_id)
    assert told.type == "analysis.failed"
    post = traced.of(MISSING, "POST")[-1]
    assert told.traceparent == f"00-{MISSING.number:032x}-{context(post).span_id:016x}-01"


def test_a_webhook_that_is_gone_is_named_in_the_span_of_its_job(traced: Traced) -> None:
    (post,) = traced.of(REFUSED, "POST")
    assert said(post)["http.response.status_code"] == 410
    assert said(post)["error.type"] == "410"
    assert said(traced.the(REFUSED, "deliver"))["error.type"] == "webhook_gone"
    assert said(traced.job(REFUSED))["error.type"] == "webhook_gone"


def test_no_span_holds_a_signature_a_secret_a_query_or_a_learners_data(traced: Traced) -> None:
    text = "\n".join(span.to_json() for span in traced.spans)
    assert GOOD.job_id in text
    secrets = (PATH_SECRET, QUERY_SECRET, SIGNATURE, "X-Amz-", SECRET, "Mina", "example.org")
    assert [secret for secret in secrets if secret in text] == []
    assert [span.name for span in traced.spans if "?" in str(dict(said(span)))] == []
