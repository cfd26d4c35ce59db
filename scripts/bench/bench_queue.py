"""The queue of one run: made anew, filled in tens, looked at, and deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import boto3

from scripts.bench.systems import Letter

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH: Final = 10
"""SQS's limit on the entries of one batch."""

VISIBILITY_TIMEOUT_S: Final = 300
"""Longer than any run: a message that comes twice is then the system's own doing."""

_MAX_RECEIVES: Final = 6
_EMPTY_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.1


class BenchQueue:
    """One queue with a dead-letter queue, on the server itself and past any proxy."""

    def __init__(self, address: str, name: str) -> None:
        self._sqs: SQSClient = boto3.client(
            "sqs",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106  the server asks for some key
        )
        self.name = name
        self._dead = self._sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        reply = self._sqs.get_queue_attributes(QueueUrl=self._dead, AttributeNames=["QueueArn"])
        policy = {
            "deadLetterTargetArn": reply["Attributes"]["QueueArn"],
            "maxReceiveCount": _MAX_RECEIVES,
        }
        self.url = self._sqs.create_queue(
            QueueName=name,
            Attributes={
                "RedrivePolicy": json.dumps(policy),
                "VisibilityTimeout": str(VISIBILITY_TIMEOUT_S),
            },
        )["QueueUrl"]

    def fill(self, letters: Sequence[Letter]) -> None:
        """Send them all. Raises RuntimeError if the server takes not every one."""
        for begins in range(0, len(letters), BATCH):
            entries: list[Any] = [
                {
                    "Id": str(index),
                    "MessageBody": letter.body,
                    "MessageAttributes": {
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in letter.attributes.items()
                    },
                }
                for index, letter in enumerate(letters[begins : begins + BATCH])
            ]
            reply = self._sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
            if reply.get("Failed"):
                raise RuntimeError(f"messages were refused: {reply['Failed']}")

    def depth(self) -> int:
        """Messages that wait or are being worked on."""
        reply = self._sqs.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        return sum(int(value) for value in reply["Attributes"].values())

    def wait_until_empty(self) -> None:
        """Wait until every message was deleted. Raises TimeoutError."""
        give_up_at = time.monotonic() + _EMPTY_TIMEOUT_S
        while (left := self.depth()) > 0:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{left} messages were never deleted from {self.name}")
            time.sleep(_POLL_S)

    def delete(self) -> None:
        """Delete both queues."""
        for url in (self.url, self._dead):
            self._sqs.delete_queue(QueueUrl=url)


@contextmanager
def made(address: str, name: str) -> Iterator[BenchQueue]:
    """Make a queue that is gone after the block."""
    queue = BenchQueue(address, name)
    try:
        yield queue
    finally:
        queue.delete()
