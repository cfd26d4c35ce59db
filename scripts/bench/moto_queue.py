"""A queue on moto, for what no load is put on: it needs nothing installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import boto3

_MAX_RECEIVES: Final = 6


@dataclass(frozen=True)
class MotoQueue:
    """The queue's URL, and what a worker's environment needs to take jobs from it."""

    url: str
    environment: dict[str, str]


@contextmanager
def local_queue() -> Iterator[MotoQueue]:
    """Start moto in this process with a queue and its dead letters; it ends with the block."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        sqs = boto3.client(
            "sqs",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        dead = sqs.create_queue(QueueName="bench-dead")["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        policy = {
            "deadLetterTargetArn": found["Attributes"]["QueueArn"],
            "maxReceiveCount": _MAX_RECEIVES,
        }
        url = sqs.create_queue(QueueName="bench", Attributes={"RedrivePolicy": json.dumps(policy)})[
            "QueueUrl"
        ]
        worker = {
            "WORKER_QUEUE_URL": url,
            "WORKER_HEALTH_PORT": "0",
            "WORKER_WAIT_TIME_S": "1",
        }
        yield MotoQueue(url, environment | worker)
    finally:
        server.stop()
