"""Queues and buckets of a test, in whatever SQS- and S3-compatible server it runs against."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@dataclass(frozen=True)
class DeadLetter:
    """One message of a dead-letter queue."""

    body: str
    attributes: dict[str, str]
    group_id: str | None

    @property
    def code(self) -> str | None:
        """Why it is there."""
        return self.attributes.get("error_code")


class TestQueue:
    """A queue with its dead-letter queue."""

    __test__ = False

    def __init__(self, sqs: SQSClient, url: str, dead_letter_url: str | None) -> None:
        self._sqs = sqs
        self.url = url
        self.dead_letter_url = dead_letter_url
        self._dead: list[DeadLetter] = []

    @property
    def name(self) -> str:
        """Its name."""
        return self.url.rsplit("/", 1)[-1]

    def send(
        self,
        body: str | Mapping[str, Any],
        *,
        group: str | None = None,
        **attributes: str,
    ) -> str:
        """Send a message; its id."""
        options: dict[str, Any] = {}
        if group is not None:
            options = {"MessageGroupId": group, "MessageDeduplicationId": uuid.uuid4().hex}
        return self._sqs.send_message(
            QueueUrl=self.url,
            MessageBody=body if isinstance(body, str) else json.dumps(body, ensure_ascii=False),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
            **options,
        )["MessageId"]

    def receive(self, *, visibility_s: int = 30, wait_s: int = 0) -> dict[str, Any] | None:
        """Take one message as another worker would; None if there is none."""
        reply = self._sqs.receive_message(
            QueueUrl=self.url,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_s,
            AttributeNames=["ApproximateReceiveCount"],
        )
        messages = reply.get("Messages", [])
        return dict(messages[0]) if messages else None

    def lose_dead_letter_queue(self) -> None:
        """Delete the dead-letter queue; the policy goes on naming it, as with SQS."""
        assert self.dead_letter_url is not None
        self._sqs.delete_queue(QueueUrl=self.dead_letter_url)

    def restore_dead_letter_queue(self) -> None:
        """Make the dead-letter queue again."""
        assert self.dead_letter_url is not None
        self._sqs.create_queue(QueueName=self.dead_letter_url.rsplit("/", 1)[-1])

    def depth(self) -> tuple[int, int]:
        """Messages that are visible, and those in flight or delayed."""
        return _depth(self._sqs, self.url)

    def wait_until_empty(self, *, within_s: float = 30) -> None:
        """Wait until nothing is left, visible or not."""
        wait_for(
            lambda: self.depth() == (0, 0),
            within_s=within_s,
            what=f"empty queue {self.name}",
            seen=self.depth,
        )

    def dead_letters(self, count: int = 1, *, within_s: float = 30) -> list[DeadLetter]:
        """Wait until the dead-letter queue has held so many; all it ever held."""
        assert self.dead_letter_url is not None

        def enough() -> list[DeadLetter] | None:
            self._take_dead()
            return self._dead if len(self._dead) >= count else None

        return list(
            wait_for(
                enough,
                within_s=within_s,
                what=f"{count} dead letters",
                seen=lambda: [(d.code, d.body[:80]) for d in self._dead],
            )
        )

    def dead_letters_now(self) -> list[DeadLetter]:
        """All that the dead-letter queue has held up to now."""
        self._take_dead()
        return list(self._dead)

    def _take_dead(self) -> None:
        assert self.dead_letter_url is not None
        while messages := self._sqs.receive_message(
            QueueUrl=self.dead_letter_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        ).get("Messages", []):
            for raw in messages:
                self._dead.append(
                    DeadLetter(
                        raw["Body"],
                        {
                            name: value.get("StringValue", "")
                            for name, value in raw.get("MessageAttributes", {}).items()
                        },
                        raw.get("Attributes", {}).get("MessageGroupId"),
                    )
                )
            self._sqs.delete_message_batch(
                QueueUrl=self.dead_letter_url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": raw["ReceiptHandle"]}
                    for i, raw in enumerate(messages)
                ],
            )


class Account:
    """An AWS account as a local server plays it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        options: dict[str, Any] = {
            "endpoint_url": endpoint,
            "region_name": REGION,
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        config = Config(max_pool_connections=32, proxies={})
        self.sqs: SQSClient = boto3.client("sqs", config=config, **options)
        self.s3: S3Client = boto3.client(
            "s3", config=config.merge(Config(s3={"addressing_style": "path"})), **options
        )

    def queue(
        self,
        *,
        max_receives: int = 3,
        fifo: bool = False,
        dead_letters: bool = True,
        visibility_s: int = 30,
    ) -> TestQueue:
        """Make a queue, and a dead-letter queue for it."""
        name = "jobs-" + uuid.uuid4().hex[:12]
        suffix = ".fifo" if fifo else ""
        attributes = {"FifoQueue": "true"} if fifo else {}
        dead_url = None
        own = dict(attributes, VisibilityTimeout=str(visibility_s))
        if dead_letters:
            dead_url = self.sqs.create_queue(
                QueueName=f"{name}-dlq{suffix}",
                Attributes=attributes,  # type: ignore[arg-type]
            )["QueueUrl"]
            arn = self.sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])
            own["RedrivePolicy"] = json.dumps(
                {
                    "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
                    "maxReceiveCount": max_receives,
                }
            )
        url = self.sqs.create_queue(
            QueueName=name + suffix,
            Attributes=own,  # type: ignore[arg-type]
        )["QueueUrl"]
        return TestQueue(self.sqs, url, dead_url)

    def bucket(self, objects: Mapping[str, bytes] | None = None) -> str:
        """Make a bucket that holds these objects."""
        name = "bucket-" + uuid.uuid4().hex[:12]
        self.s3.create_bucket(Bucket=name)
        for key, data in (objects or {}).items():
            self.s3.put_object(Bucket=name, Key=key, Body=data)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of a bucket."""
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for item in listed.get("Contents", []))

    def read(self, bucket: str, key: str) -> bytes:
        """One object's bytes."""
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def _depth(sqs: SQSClient, url: str) -> tuple[int, int]:
    found = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return (
        int(found["ApproximateNumberOfMessages"]),
        int(found["ApproximateNumberOfMessagesNotVisible"])
        + int(found["ApproximateNumberOfMessagesDelayed"]),
    )


def unique(name: str) -> str:
    """Make a job_id that no other test uses."""
    return f"{name}-{uuid.uuid4().hex[:8]}-{int(time.time())}"
