"""The real worker against an inbox that fails: every event arrives in the end, and counts once."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import boto3

from scripts.child_process import ChildProcess
from scripts.demo_stack import ROOT
from scripts.inbox import InboxSettings
from tests.scripts.inbox_sender import SECRET, Sender
from tests.scripts.misbehaving_inbox import misbehaving

FIXTURES = ROOT / "tests" / "fixtures"
WORKER_TIMEOUT_S = 100
RECEIVES = 3
DELIVERY_TIMEOUT_S = 3
FAULTS = {
    "refused": ["503", "429"],
    "dropped": ["drop"],
    "answer-lost": ["lose_answer"],
    "hanging": ["hang"],
    "undisturbed": [],
}


def make_queue() -> str:
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="faults-dlq")["QueueUrl"]
    said = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    arn = said["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES})
    created = sqs.create_queue(QueueName="faults", Attributes={"RedrivePolicy": policy})
    return created["QueueUrl"]


def enqueue(queue_url: str, webhook_url: str, *job_ids: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="speech")
    s3.put_object(Bucket="speech", Key="a.flac", Body=(FIXTURES / "silence.flac").read_bytes())
    sqs = boto3.client("sqs")
    for job_id in job_ids:
        body = {
            "job_id": job_id,
            "s3_audio_url": "s3://speech/a.flac",
            "text": "nobody came home",
            "webhook_url": webhook_url,
        }
        sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(body))


def run_worker(folder: Path, environment: dict[str, str]) -> int:
    worker = ChildProcess(
        "worker",
        [sys.executable, "-m", "worker", "run", "--until-empty"],
        environment=environment,
        folder=folder,
    )
    with worker:
        return worker.wait_for_end(timeout_s=WORKER_TIMEOUT_S)


async def test_every_event_arrives_in_the_end_and_is_kept_once(
    moto_endpoint: str, inbox_settings: InboxSettings, tmp_path: Path
) -> None:
    queue_url = make_queue()
    environment = worker_environment(moto_endpoint, queue_url)
    async with misbehaving(inbox_settings) as (url, faults), aiohttp.ClientSession() as http:
        for job_id, planned in FAULTS.items():
            faults.plan(job_id, *planned)
        enqueue(queue_url, f"{url}webhook", *FAULTS)
        assert await asyncio.to_thread(run_worker, tmp_path, environment) == 0

        sender = Sender(url, http)
        for job_id, planned in FAULTS.items():
            assert (await sender.get(f"jobs/{job_id}"))[1]["status"] == "completed"
            assert len(await event_bodies(sender, job_id)) == 1
            met = [fault for met_by, fault in faults.met if met_by == job_id]
            assert met == [*planned, "ok"]


async def event_bodies(sender: Sender, job_id: str) -> list[dict[str, Any]]:
    async with sender.http.get(f"{sender.url}jobs/{job_id}/events") as answer:
        lines = (await answer.text()).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def worker_environment(endpoint: str, queue_url: str) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "NUMBA_CPU_NAME": "generic",
        "AWS_ENDPOINT_URL": endpoint,
        "WORKER_QUEUE_URL": queue_url,
        "WORKER_CONCURRENCY": "1",
        "WORKER_WAIT_TIME_S": "1",
        "WORKER_RETRY_DELAY_S": "1",
        "WORKER_RETRY_MAX_DELAY_S": "2",
        "WORKER_WEBHOOK_SECRET": SECRET,
        "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
        "WORKER_WEBHOOK_TIMEOUT_S": str(DELIVERY_TIMEOUT_S),
        "WORKER_HEALTH_PORT": "0",
    }
