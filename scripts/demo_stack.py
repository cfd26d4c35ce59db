"""The demo's surroundings: AWS as moto plays it, with queue, dead letters and buckets; the inbox.

Everything is on loopback, on free ports, with a signing secret made for this run, and ends with
the run.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3

from scripts.child_process import ChildProcess

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

ROOT: Final = Path(__file__).resolve().parent.parent
SPEECH_BUCKET: Final = "demo-speech"
RESULTS_BUCKET: Final = "demo-results"

_REGION: Final = "us-east-1"
_QUEUE: Final = "demo-jobs"
_DEAD_LETTER_QUEUE: Final = "demo-jobs-dlq"
_MAX_RECEIVES: Final = 3
_SECRET_BYTES: Final = 32
_START_TIMEOUT_S: Final = 60.0
_FOREIGN_VARIABLES: Final = ("AWS_", "WORKER_", "INBOX_", "ECS_", "OTEL_")
_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True)
class Stack:
    """What is running, and where.

    `environment` is what a worker needs to run against it, beside what the machine itself sets.
    """

    folder: Path
    sqs: SQSClient
    queue_url: str
    dead_letter_queue_url: str
    inbox_url: str
    environment: dict[str, str]

    @property
    def webhook_url(self) -> str:
        """Where jobs have their events sent."""
        return f"{self.inbox_url}webhook"

    def process_environment(self) -> dict[str, str]:
        """The whole environment of a process in this stack."""
        return _own_environment() | self.environment


@contextmanager
def running(folder: Path, uploads: Mapping[str, Path]) -> Iterator[Stack]:
    """Start it all in `folder`, with `uploads` as the objects of the speech bucket; end it all."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    with _aws() as endpoint:
        credentials = _credentials(endpoint)
        session = boto3.session.Session(
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            region_name=_REGION,
        )
        sqs = session.client("sqs", endpoint_url=endpoint)
        s3 = session.client("s3", endpoint_url=endpoint)
        queue_url, dead_letter_queue_url = _queues(sqs)
        inbox = ChildProcess(
            "inbox",
            [sys.executable, "-m", "scripts.inbox", "--port", "0"],
            environment=_own_environment()
            | credentials
            | {"INBOX_WEBHOOK_SECRET": secret, "INBOX_QUEUE_URL": queue_url},
            folder=folder,
        )
        with inbox:
            _fill_buckets(s3, uploads)  # while the inbox starts
            address = inbox.wait_for(r"Inbox on (http://\S+)", timeout_s=_START_TIMEOUT_S)[1]
            yield Stack(
                folder=folder,
                sqs=sqs,
                queue_url=queue_url,
                dead_letter_queue_url=dead_letter_queue_url,
                inbox_url=address,
                environment=credentials | _worker_settings(queue_url, secret),
            )


@contextmanager
def _aws() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _queues(sqs: SQSClient) -> tuple[str, str]:
    dead_letters = sqs.create_queue(QueueName=_DEAD_LETTER_QUEUE)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])
    policy = {
        "deadLetterTargetArn": attributes["Attributes"]["QueueArn"],
        "maxReceiveCount": _MAX_RECEIVES,
    }
    jobs = sqs.create_queue(QueueName=_QUEUE, Attributes={"RedrivePolicy": json.dumps(policy)})
    return jobs["QueueUrl"], dead_letters


def _fill_buckets(s3: S3Client, uploads: Mapping[str, Path]) -> None:
    for bucket in (SPEECH_BUCKET, RESULTS_BUCKET):
        s3.create_bucket(Bucket=bucket)
    for key, path in uploads.items():
        s3.put_object(Bucket=SPEECH_BUCKET, Key=key, Body=path.read_bytes())


def _credentials(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _worker_settings(queue_url: str, secret: str) -> dict[str, str]:
    return {
        "WORKER_QUEUE_URL": queue_url,
        "WORKER_DEFAULT_BUCKET": SPEECH_BUCKET,
        "WORKER_REFERENCE_PREFIX": "references/",
        "WORKER_RESULTS_BUCKET": RESULTS_BUCKET,
        "WORKER_WEBHOOK_SECRET": secret,
        "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",  # the inbox is on loopback
        "WORKER_PROGRESS_EVENTS": "true",
        "WORKER_HEALTH_PORT": "0",
        "WORKER_WAIT_TIME_S": "1",
        "WORKER_RETRY_DELAY_S": "1",
        "WORKER_RETRY_MAX_DELAY_S": "2",
    }


def _own_environment() -> dict[str, str]:
    """Give the machine's environment without what would lead a process out of this stack."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_VARIABLES) and name.lower() not in _PROXY_VARIABLES
    }
    # Processes run in the demo's own folder, where no .env of the checkout reaches them.
    return kept | {"PYTHONPATH": str(ROOT), "NUMBA_CPU_NAME": "generic", "PYTHONUNBUFFERED": "1"}
