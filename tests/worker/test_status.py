from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx
import pytest
from aiobotocore.session import AioSession, get_session
from prometheus_client import generate_latest
from typer.testing import CliRunner, Result

from tests.worker.queues import Queues, make_queues
from worker import aws
from worker.cli import app
from worker.fleet import difference, quantile, read_queue, report_depths, scrape
from worker.metrics import Metrics


@pytest.fixture(scope="module")
def session() -> AioSession:
    """One for all tests here: to read botocore's models anew takes longer than most of them."""
    return get_session()


@pytest.fixture(autouse=True)
def _shared_session(monkeypatch: pytest.MonkeyPatch, session: AioSession) -> None:
    monkeypatch.setattr(aws, "get_session", lambda: session)


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    clean_environment.setenv("WORKER_QUEUE_URL", made.main)
    return made


def status(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["status", *arguments])


def as_json(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(status("--json", *arguments).stdout)
    return found


def put_age(seconds: float) -> None:
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": "jobs"}],
                "Timestamp": datetime.now(UTC),
                "Value": seconds,
            }
        ],
    )


def test_an_idle_fleet_is_well(queues: Queues) -> None:
    result = status("--max-age", "5m")
    assert result.exit_code == 0
    heading, row = result.stdout.splitlines()
    assert heading.split()[:3] == ["QUEUE", "WAITING", "IN"]
    assert row.split() == ["jobs", "0", "0", "0", "-", "0", "5", "jobs-dlq"]


def test_dead_letters_are_an_exit_code_of_1(queues: Queues) -> None:
    queues.bury("take-1")
    result = status()
    assert result.exit_code == 1
    assert "jobs-dlq holds 1 dead letters" in result.stderr


def test_json_holds_every_number(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}")
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}", DelaySeconds=60)
    queues.sqs.receive_message(QueueUrl=queues.main)
    (queue,) = as_json()["queues"]
    assert queue == {
        "name": "jobs",
        "url": queues.main,
        "visible": 0,
        "in_flight": 1,
        "delayed": 1,
        "oldest_s": None,
        "max_receive_count": 5,
        "dlq": "jobs-dlq",
        "dlq_messages": 0,
    }


@pytest.mark.parametrize(("age_s", "code"), [(30.0, 0), (600.0, 1)])
def test_a_message_that_has_waited_too_long_is_an_exit_code_of_1(
    queues: Queues, age_s: float, code: int
) -> None:
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}")
    put_age(age_s)
    result = status("--max-age", "5m")
    assert result.exit_code == code
    assert ("has waited 10m, longer than 5m" in result.stderr) is (code == 1)


def test_an_age_that_nobody_knows_is_not_taken_for_well(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}")
    assert status().exit_code == 0
    result = status("--max-age", "5m")
    assert result.exit_code == 1
    assert "not known" in result.stderr
    assert status("--max-age", "5m", "--peek").exit_code == 0


def test_several_queues_are_shown_in_their_order(
    queues: Queues, clean_environment: pytest.MonkeyPatch
) -> None:
    urgent = queues.sqs.create_queue(QueueName="urgent")["QueueUrl"]
    clean_environment.setenv("WORKER_QUEUE_URL", f"{urgent},{queues.main}")
    found = as_json()["queues"]
    assert [queue["name"] for queue in found] == ["urgent", "jobs"]
    assert found[0]["dlq"] is None


def test_a_queue_that_is_not_there_is_said_in_words(
    queues: Queues, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_QUEUE_URL", queues.main + "x")
    result = status()
    assert result.exit_code == 1
    assert "GetQueueAttributes failed" in result.stderr
    assert "Traceback" not in result.output


def test_settings_that_are_missing_are_said_in_words(moto_endpoint: str) -> None:
    result = status()
    assert result.exit_code == 2
    assert "WORKER_QUEUE_URL is required" in result.stderr


def test_a_worker_that_does_not_answer_is_a_problem(queues: Queues) -> None:
    whole = as_json("--worker", "http://127.0.0.1:1")
    assert whole["ok"] is False
    assert whole["workers"] == [{"address": "http://127.0.0.1:1", "error": "ConnectError"}]


def answering(metrics: Metrics) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, content=generate_latest(metrics.registry))


async def test_a_worker_is_read_from_its_own_metrics() -> None:
    metrics = Metrics()
    metrics.settled("completed")
    metrics.settled("dead_lettered", "timeout")
    metrics.settled("dead_lettered", "not_found")
    metrics.slots(4, 3)
    metrics.job_duration("total", 0.2)
    transport = httpx.MockTransport(answering(metrics))
    async with httpx.AsyncClient(transport=transport) as http:
        reading = await scrape(http, "http://w:8080/")
    assert reading.error is None
    assert reading.value("slots_busy") == 3
    assert reading.value("jobs_settled_total", code="timeout") == 1
    assert reading.by("jobs_settled_total", "outcome") == {
        "completed": 1,
        "dead_lettered": 2,
        "retried": 0,
    }
    assert reading.buckets("total")[0.25] == 1
    assert reading.resident_mb > 1
    assert reading.version


def test_a_quantile_lies_within_its_bucket() -> None:
    buckets = {0.1: 0.0, 0.5: 10.0, 1.0: 20.0, math.inf: 20.0}
    assert quantile(buckets, 0.5) == pytest.approx(0.5)
    assert quantile(buckets, 0.25) == pytest.approx(0.3)
    assert quantile({0.1: 0.0, math.inf: 5.0}, 0.95) == 0.1
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None


def test_a_restarted_worker_counts_from_nought() -> None:
    assert difference({1.0: 5.0, 2.0: 9.0}, {1.0: 7.0, 2.0: 12.0}) == {1.0: 2.0, 2.0: 3.0}
    assert difference({1.0: 5.0}, {1.0: 2.0}) == {1.0: 2.0}


def exported(metrics: Metrics) -> float | None:
    labels = {"queue": "jobs", "state": "visible"}
    return metrics.registry.get_sample_value("analysis_worker_queue_messages", labels)


async def test_a_worker_exports_queue_depths_on_request(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}")
    metrics = Metrics()
    async with aws.open_clients() as clients:
        task = asyncio.create_task(report_depths(clients.sqs, [queues.main], metrics))
        async with asyncio.timeout(10):
            while not exported(metrics):  # noqa: ASYNC110  the other side is a server
                await asyncio.sleep(0.01)
        task.cancel()
        assert (await read_queue(clients.sqs, queues.main)).depth.visible == 1
