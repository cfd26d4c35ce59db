from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker import __version__
from worker.emf import EmfWriter
from worker.metrics import MAX_LABEL_VALUES, PREFIX, STAGES, Metrics, queue_name

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"{PREFIX}_{name}", labels)


def report_everything(metrics: Metrics) -> None:
    metrics.received(QUEUE_URL, 3, 1.5)
    metrics.settled("completed")
    metrics.settled("dead_lettered", "not_found")
    for stage in STAGES:
        metrics.job_duration(stage, 0.2)
    metrics.in_flight(+2)
    metrics.in_flight(-1)
    metrics.slots(4, 3)
    metrics.lease_renewed(10)
    metrics.lease_lost("expired")
    metrics.child_restarted("killed")
    metrics.webhook_attempt("2xx")
    metrics.breaker_state(1)
    metrics.sqs_call("ReceiveMessage", True)
    metrics.sqs_call("ReceiveMessage", False)
    metrics.delivered("webhook")
    metrics.ecs_protection_failed()
    metrics.queue_depth(QUEUE_URL, visible=7, in_flight=2, delayed=0)


def test_everything_reported_is_counted_under_its_labels() -> None:
    metrics = Metrics()
    report_everything(metrics)
    assert value(metrics, "messages_received_total", queue="jobs") == 3
    assert value(metrics, "queue_lag_seconds_count", queue="jobs") == 3
    assert value(metrics, "queue_lag_seconds_sum", queue="jobs") == 4.5
    assert value(metrics, "jobs_settled_total", outcome="completed", code="none") == 1
    assert value(metrics, "jobs_settled_total", outcome="dead_lettered", code="not_found") == 1
    assert value(metrics, "jobs_in_flight") == 1
    assert value(metrics, "slots") == 4
    assert value(metrics, "slots_busy") == 3
    assert value(metrics, "lease_renewals_total") == 10
    assert value(metrics, "leases_lost_total", reason="expired") == 1
    assert value(metrics, "child_restarts_total", cause="killed") == 1
    assert value(metrics, "webhook_attempts_total", status_class="2xx") == 1
    assert value(metrics, "webhook_breakers_open") == 1
    assert value(metrics, "sqs_calls_total", operation="ReceiveMessage", result="error") == 1
    assert value(metrics, "events_delivered_total", sink="webhook") == 1
    assert value(metrics, "ecs_protection_failures_total") == 1
    assert value(metrics, "queue_messages", queue="jobs", state="visible") == 7
    for stage in STAGES:
        name = "job_stage_duration_seconds_bucket"
        assert value(metrics, name, stage=stage, le="0.1") == 0
        assert value(metrics, name, stage=stage, le="0.25") == 1


def test_two_sets_of_metrics_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.lease_renewed()
    assert value(second, "lease_renewals_total") == 0


def test_the_build_is_named() -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(generate_latest(Metrics().registry).decode())
    }
    (sample,) = families[f"{PREFIX}_build_info"].samples
    assert sample.labels["version"] == __version__
    assert sample.value == 1


def test_a_label_that_runs_away_is_counted_as_other() -> None:
    metrics = Metrics()
    for number in range(MAX_LABEL_VALUES + 100):
        metrics.settled("failed", f"code-{number}")
    assert value(metrics, "jobs_settled_total", outcome="failed", code="other") == 100
    assert value(metrics, "jobs_settled_total", outcome="failed", code="code-0") == 1


def test_what_alerts_watch_is_there_at_nought_before_anything_happens() -> None:
    metrics = Metrics()
    assert value(metrics, "jobs_settled_total", outcome="dead_lettered", code="timeout") == 0
    assert value(metrics, "jobs_settled_total", outcome="retried", code="access_denied") == 0
    assert value(metrics, "leases_lost_total", reason="expired") == 0
    assert value(metrics, "child_restarts_total", cause="worker_lost") == 0
    assert value(metrics, "webhook_attempts_total", status_class="5xx") == 0
    assert value(metrics, "sqs_calls_total", operation="ReceiveMessage", result="error") == 0


def test_memory_stays_flat_over_many_jobs() -> None:
    metrics = Metrics(emf=EmfWriter(io.StringIO()))
    for _ in range(200):
        report_everything(metrics)
    assert metrics._emf is not None
    metrics._emf._stream = io.StringIO()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2000):
            report_everything(metrics)
            if number % 100 == 0:
                metrics._emf._stream = io.StringIO()
        metrics._emf._stream = io.StringIO()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 64 * 1024


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (QUEUE_URL, "jobs"),
        ("http://127.0.0.1:5000/123456789012/urgent.fifo", "urgent.fifo"),
        ("jobs", "jobs"),
    ],
)
def test_a_queue_is_named_by_the_end_of_its_url(url: str, name: str) -> None:
    assert queue_name(url) == name


async def test_the_same_numbers_are_written_as_emf_when_asked_for() -> None:
    stream = io.StringIO()
    metrics = Metrics(emf=EmfWriter(stream))
    await metrics.start()
    report_everything(metrics)
    await metrics.stop()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    sums = {
        metric["Name"]: line[metric["Name"]]
        for line in lines
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert sums["MessagesReceived"] == 3
    assert sums["QueueLag"] == [1.5, 1.5, 1.5]
    assert sums["JobsInFlight"] == 1
    assert sums["LeaseRenewals"] == 10
    assert {"Outcome": "dead_lettered", "Code": "not_found"}.items() <= next(
        line for line in lines if line.get("Code") == "not_found"
    ).items()


async def test_nothing_is_written_as_emf_unless_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = Metrics()
    await metrics.start()
    report_everything(metrics)
    await metrics.stop()
    assert capsys.readouterr().out == ""
