"""What compose.yaml begins with: jobs that a worker takes, on speech that is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml  # type: ignore[import-untyped]  # no stubs among our packages
from moto import mock_aws

from scripts import compose_setup
from worker.contract import AnalysisJob

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The messages that the set-up sends."""
    monkeypatch.setattr(compose_setup, "FIXTURES", ROOT / "tests" / "fixtures")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        compose_setup.main()
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName=compose_setup.QUEUE)["QueueUrl"]
        reply = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        yield [message["Body"] for message in reply["Messages"]]


def test_every_job_is_one_that_a_worker_takes(bodies: list[str]) -> None:
    jobs = [AnalysisJob.model_validate_json(body) for body in bodies]
    assert len({job.job_id for job in jobs}) == len(compose_setup.TAKES) + 1


def test_every_object_is_there_but_the_one_that_is_meant_to_be_missing(bodies: list[str]) -> None:
    listed = boto3.client("s3").list_objects_v2(Bucket=compose_setup.SPEECH)
    there = {item["Key"] for item in listed["Contents"]}
    named = {
        value
        for body in bodies
        for name, value in json.loads(body).items()
        if name.startswith("s3_")
    }
    assert named - there == {f"{compose_setup.LINE}/nobody.flac"}


def test_compose_names_what_the_set_up_makes() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    worker = compose["services"]["worker"]["environment"]
    assert worker["WORKER_QUEUE_URL"].endswith(f"/{compose_setup.QUEUE}")
    assert worker["WORKER_DEFAULT_BUCKET"] == compose_setup.SPEECH
    assert worker["WORKER_RESULTS_BUCKET"] == compose_setup.RESULTS
    port = compose["services"]["inbox"]["ports"][0].rpartition(":")[2]
    assert f"http://inbox:{port}/webhook" == compose_setup.WEBHOOK
