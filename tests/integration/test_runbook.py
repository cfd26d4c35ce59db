"""Rows of docs/runbook.md, tried: the fault is made, and its commands name it and put it right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.account import CREDENTIALS, REGION, Account, TestQueue
from tests.integration.conftest import Launch
from tests.integration.gateway import AwsRequest, Fault, Gateway
from tests.integration.inbox import SECRET, Inbox
from tests.integration.scripts import Script
from tests.integration.waiting import wait_for
from tests.integration.worker_process import WorkerProcess

ROOT = Path(__file__).resolve().parents[2]
COMMAND_S = 90


class Person:
    """Somebody at a terminal with the fleet's settings."""

    def __init__(self, gateway: Gateway, queue: TestQueue, bucket: str) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AWS_ENDPOINT_URL": gateway.url,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **CREDENTIALS,
            "WORKER_QUEUE_URL": queue.url,
            "WORKER_DEFAULT_BUCKET": bucket,
            "WORKER_WEBHOOK_SECRET": SECRET,
            "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
        }

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `analysis-worker` with these words."""
        return subprocess.run(
            [sys.executable, "-m", "worker", *words],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )

    def lists(self, *words: str) -> list[dict[str, Any]]:
        """What `dlq list` shows."""
        shown = self.types("dlq", "list", "--json", *words)
        assert shown.returncode == 0, shown.stderr
        return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture(scope="module")
def queue(account: Account) -> TestQueue:
    return account.queue(max_receives=2)


@pytest.fixture(scope="module")
def bucket(account: Account) -> str:
    return account.bucket({"take.wav": b"any bytes"})


@pytest.fixture(scope="module")
def worker(
    module_launch: Launch, module_gateway: Gateway, queue: TestQueue, bucket: str
) -> WorkerProcess:
    return module_launch(
        queue.url, endpoint=module_gateway.url, default_bucket=bucket, metrics_queue_depth=True
    )


@pytest.fixture
def gateway(module_gateway: Gateway) -> Iterator[Gateway]:
    yield module_gateway
    module_gateway.rules.clear()
    module_gateway.come_back()


@pytest.fixture
def person(gateway: Gateway, queue: TestQueue, bucket: str) -> Person:
    return Person(gateway, queue, bucket)


def denied(*operations: str) -> Any:
    """Make a rule that lacks a permission."""

    def rule(request: AwsRequest) -> Fault | None:
        if request.operation in operations:
            return Fault(
                403, "AccessDeniedException" if request.service == "sqs" else "AccessDenied"
            )
        return None

    return rule


def test_access_denied_on_receive_is_seen_named_and_heals_by_itself(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, person: Person
) -> None:
    before = len(worker.logs("receive_failed", code="access_denied"))
    gateway.rules.append(denied("ReceiveMessage"))
    worker.wait_for_log("receive_failed", code="access_denied", count=before + 2, within_s=60)
    assert worker.ask("/livez")[0] == 200, "a restart would mend nothing"
    assert worker.metric("analysis_worker_sqs_calls_total", result="error") > 0
    shown = person.types("check", "--skip-model")
    assert shown.returncode == 1
    assert f"Give the worker's role sqs:ReceiveMessage on {queue.name}." in shown.stdout

    gateway.rules.clear()
    job = Script(inbox, "after-denied")
    job.send(queue)
    assert inbox.wait(job.job_id, "analysis.completed", within_s=60)


def test_a_webhook_url_that_a_program_put_together_from_nothing(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, person: Person
) -> None:
    job = Script(inbox, "none-url")
    job.body["webhook_url"] = f"None?job_id={job.job_id}"
    job.send(queue)
    worker.wait_for_log("job_done", job_id=job.job_id, code="url_refused")
    (letter,) = person.lists("--text", job.job_id)
    assert letter["code"] == "url_refused"
    assert letter["told"] is False
    assert letter["receive_count"] == 1, "it is not tried again"
    shown = person.types("dlq", "show", job.job_id)
    assert "Use an https URL of a public host" in shown.stdout
    assert person.types("dlq", "purge", "--all", "--code", "url_refused", "--yes").returncode == 0
    assert person.lists("--text", job.job_id) == []


def test_403_from_s3_is_retried_then_dead_lettered_and_redriven_once_mended(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, person: Person
) -> None:
    gateway.rules.append(denied("GET", "HEAD"))
    job = Script(inbox, "denied-object")
    job.body["s3_audio_url"] = "take.wav"
    queue.send(job.body)
    (told,) = inbox.wait(job.job_id, "analysis.failed", within_s=60)
    assert told.event["data"]["error"]["cause"] == "access_denied"
    shown = person.types("check", "--skip-model")
    assert "s3:ListBucket" in shown.stdout
    assert shown.returncode == 1

    gateway.rules.clear()
    letters = wait_for(
        lambda: person.lists("--code", "access_denied", "--text", job.job_id),
        within_s=60,
        what="dead letter",
    )
    assert letters[0]["told"] is True
    assert person.types("dlq", "redrive", "--code", "access_denied").returncode == 0
    assert inbox.wait(job.job_id, "analysis.completed", within_s=60)


def test_webhooks_that_fail_end_as_dead_letters_that_status_and_list_name(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, person: Person
) -> None:
    job = Script(inbox, "down", hook="answer/503")
    job.send(queue)
    worker.wait_for_log("job_done", job_id=job.job_id, outcome="dead_letter", within_s=90)
    status = person.types("status")
    assert status.returncode == 1
    assert "`analysis-worker dlq list` says why" in status.stderr
    (letter,) = person.lists("--text", job.job_id)
    assert (letter["code"], letter["cause"]) == ("retries_exhausted", "webhook_unavailable")
    assert letter["told"] is False
    assert person.types("dlq", "purge", "--all", "--text", job.job_id, "--yes").returncode == 0


def test_what_the_dashboard_shows_is_there_after_a_job(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox
) -> None:
    job = Script(inbox, "counted")
    job.send(queue)
    inbox.wait(job.job_id, "analysis.completed", within_s=60)
    worker.wait_for_log("job_done", job_id=job.job_id, outcome="completed")
    stages = "analysis_worker_job_stage_duration_seconds_count"
    assert worker.metric(stages, stage="total") >= 1
    assert worker.metric(stages, stage="deliver") >= 1
    assert worker.metric("analysis_worker_queue_lag_seconds_count", queue=queue.name) >= 1
    wait_for(
        lambda: worker.metric("analysis_worker_events_delivered_total", sink="webhook"),
        within_s=10,
        what="delivered event",
    )
    name = "analysis_worker_queue_messages"
    _, text = worker.ask("/metrics")
    assert f'{name}{{queue="{queue.name}",state="visible"}}' in text
    assert f'{name}{{queue="{queue.name}-dlq",state="visible"}}' in text
