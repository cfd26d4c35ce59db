"""What a sweep finds, put there as workers and SQS leave it, and what it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import orjson

from tests.worker.queues import Queues
from worker import aws
from worker.contract import Addressee, AnalysisJob, Event, EventType, build_event
from worker.results import ResultStore, fingerprint
from worker.settings import Settings
from worker.storage import Storage
from worker.sweep import SweepOptions, sweep
from worker.sweep_report import SweepReport

BUCKET = "results"
AT_ONCE = SweepOptions(undelivered_older_than_s=-1)
Opened = Callable[..., Any]


def job(job_id: str, url: str | None) -> dict[str, Any]:
    return {"job_id": job_id, "s3_audio_url": "s3://u/a.wav", "text": "Go.", "webhook_url": url}


def silent(queues: Queues, body: str) -> None:
    """A message as SQS itself moves it: without any reason."""
    queues.sqs.send_message(
        QueueUrl=queues.dead,
        MessageBody=body,
        MessageAttributes={
            "traceparent": {"DataType": "String", "StringValue": "00-x"},
        },
    )


async def swept(options: SweepOptions = AT_ONCE) -> SweepReport:
    return await sweep(Settings.load(), options)


def completed(job_id: str) -> Event:
    return build_event(
        EventType.COMPLETED,
        Addressee(job_id),
        attempt=1,
        progress=100,
        message="Scored.",
        result=b'{"scores": {"overall": 71.0}}',
    )


async def store(job_fields: dict[str, Any], *, delivered: bool = False) -> Event:
    """Keep a result as a worker does, just before it is killed."""
    event = completed(job_fields["job_id"])
    async with aws.open_clients() as clients:
        results = ResultStore.from_settings(Settings.load(), Storage(clients.s3))
        assert results is not None
        await results.keep(
            event,
            fingerprint=fingerprint(AnalysisJob.parse(orjson.dumps(job_fields)), "audio_analysis"),
            webhook_url=job_fields["webhook_url"],
        )
        if delivered:
            await results.mark_delivered(event.job_id)
    return event


def keys() -> list[str]:
    reply = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in reply.get("Contents", [])]


def events(consumer: Any) -> list[tuple[str, str, str]]:
    """What a consumer got: id, type, job."""
    return [
        (
            received.headers["webhook-id"],
            json.loads(received.body)["type"],
            json.loads(received.body)["data"]["job_id"],
        )
        for received in consumer.received
    ]
