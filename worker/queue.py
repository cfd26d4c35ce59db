"""The SQS calls: receive, renew, delete, send; batched, with every entry of a reply checked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from worker import spans
from worker.batching import Batcher, EntryError
from worker.logs import get_logger
from worker.quotas import MAX_BATCH, MAX_VISIBILITY_S, NOT_IN_A_BODY
from worker.redrive_policy import read_redrive_policy
from worker.signed_calls import SignedCalls, plain_ask
from worker.spans import TRACEPARENT_ATTRIBUTE
from worker.tracing import current_traceparent

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from worker.metrics import Metrics

RECEIVE_MARGIN_S: Final = 10
"""How much longer than the long poll a receive may take before it is given up and repeated."""

DELETE_LINGER_S: Final = 0.5
"""How long a delete waits for others to share its request with: ten at twenty jobs a second."""

FIFO_DELETE_LINGER_S: Final = 0.02
"""The same for a FIFO queue, where the next of the message's group waits for it."""

log = get_logger()


@dataclass(frozen=True)
class Message:
    """One receive of one message."""

    message_id: str
    receipt_handle: str
    body: str
    queue: Queue = field(repr=False, compare=False)
    receive_count: int = 1
    sent_at: float | None = None
    """When it was sent, Unix time in seconds."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The producer's message attributes that are text or numbers."""
    raw_attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    group_id: str | None = None


class QueueError(Exception):
    """The queue cannot be used as it is; the text says what to do."""


class Queue:
    """One SQS queue, with what its own attributes say.

    `max_receive_count` and `dead_letter_url` are the queue's own RedrivePolicy: the only place
    that says how often a job is tried.
    """

    def __init__(
        self,
        sqs: SQSClient,
        url: str,
        metrics: Metrics,
        *,
        calls: SignedCalls | None = None,
        dead_letter_url: str | None = None,
        max_receive_count: int | None = None,
    ) -> None:
        self.url = url
        self.name = url.rstrip("/").rsplit("/", 1)[-1]
        self.is_fifo = self.name.endswith(".fifo")
        self.dead_letter_url = dead_letter_url
        self.max_receive_count = max_receive_count
        self._ask = calls.ask if calls else partial(plain_ask, sqs)
        self._metrics = metrics
        self._deletes: Batcher[str] = Batcher(
            self._delete_batch, MAX_BATCH, FIFO_DELETE_LINGER_S if self.is_fifo else DELETE_LINGER_S
        )

    @classmethod
    async def open(
        cls, sqs: SQSClient, url: str, metrics: Metrics, *, calls: SignedCalls | None = None
    ) -> Queue:
        """Read the queue's RedrivePolicy and find its dead-letter queue.

        Whether that queue is there is not asked: without it jobs are done as well, and one that
        would be dead-lettered comes back. `analysis-worker check` asks.
        """
        policy = await read_redrive_policy(sqs, url)
        if policy is None:
            return cls(sqs, url, metrics, calls=calls)
        beside = policy.dead_letter_url_beside(url)
        return cls(
            sqs,
            url,
            metrics,
            calls=calls,
            dead_letter_url=beside or await policy.dead_letter_url(sqs),
            max_receive_count=policy.max_receive_count,
        )

    async def receive(
        self, limit: int, *, wait_s: int, visibility_s: int, attempt_id: str | None = None
    ) -> list[Message]:
        """Long-poll for up to `limit` messages (1–10).

        Parameters
        ----------
        attempt_id
            For FIFO queues, the ReceiveRequestAttemptId: the same one after a failed receive
            gets the same messages, which would else stay invisible.
        """
        options: dict[str, Any] = {}
        if self.is_fifo and attempt_id:
            options["ReceiveRequestAttemptId"] = attempt_id
        with spans.receiving(self) as messages:
            try:
                async with asyncio.timeout(wait_s + RECEIVE_MARGIN_S):
                    reply = await self._call(
                        "ReceiveMessage",
                        QueueUrl=self.url,
                        MaxNumberOfMessages=limit,
                        WaitTimeSeconds=wait_s,
                        VisibilityTimeout=visibility_s,
                        MessageAttributeNames=["All"],
                        MessageSystemAttributeNames=[
                            "ApproximateReceiveCount",
                            "SentTimestamp",
                            "MessageGroupId",
                        ],
                        **options,
                    )
            except TimeoutError:
                raise ConnectionError(f"no answer within {wait_s + RECEIVE_MARGIN_S} s") from None
            messages += [self._message(raw) for raw in reply.get("Messages", [])]
            return messages

    def _message(self, raw: Mapping[str, Any]) -> Message:
        system = raw.get("Attributes", {})
        sent_ms = system.get("SentTimestamp")
        attributes = raw.get("MessageAttributes", {})
        return Message(
            message_id=raw["MessageId"],
            receipt_handle=raw["ReceiptHandle"],
            body=raw.get("Body", ""),
            queue=self,
            receive_count=int(system.get("ApproximateReceiveCount", 1)),
            sent_at=int(sent_ms) / 1000 if sent_ms else None,
            attributes={
                name: value["StringValue"]
                for name, value in attributes.items()
                if "StringValue" in value
            },
            raw_attributes=attributes,
            group_id=system.get("MessageGroupId"),
        )

    async def delete(self, message: Message) -> None:
        """Delete a message, together with others that are deleted at about the same time.

        Raises
        ------
        EntryError, ClientError, BotoCoreError
            After the retries: the message will come back.
        """
        await self._deletes.submit(message.receipt_handle)

    async def _delete_batch(self, handles: Sequence[str]) -> Mapping[int, str]:
        return await self._batch(
            "DeleteMessageBatch",
            [{"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(handles)],
        )

    async def extend(self, messages: Sequence[Message], seconds: Sequence[int]) -> list[bool]:
        """Set the visibility of up to ten messages; whether each was accepted.

        An accepted change proves no lease: SQS accepts one for an expired handle too.
        """
        failed = await self._batch(
            "ChangeMessageVisibilityBatch",
            [
                {
                    "Id": str(i),
                    "ReceiptHandle": message.receipt_handle,
                    "VisibilityTimeout": min(max(0, int(timeout)), MAX_VISIBILITY_S),
                }
                for i, (message, timeout) in enumerate(zip(messages, seconds, strict=True))
            ],
        )
        return [i not in failed for i in range(len(messages))]

    async def back_off(self, message: Message, delay_s: float) -> None:
        """Make the message visible again after `delay_s` (0 = at once)."""
        await self._call(
            "ChangeMessageVisibility",
            QueueUrl=self.url,
            ReceiptHandle=message.receipt_handle,
            VisibilityTimeout=min(max(0, round(delay_s)), MAX_VISIBILITY_S),
        )

    async def send_dead_letter(
        self, message: Message, attributes: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Copy a message to the dead-letter queue, with the reason in its attributes."""
        if self.dead_letter_url is None:
            raise QueueError(f"the queue {self.name} has no dead-letter queue")
        options: dict[str, Any] = {}
        if self.is_fifo:
            options["MessageGroupId"] = message.group_id or message.message_id
            options["MessageDeduplicationId"] = message.message_id
        # It keeps the producer's own trace context, so this span is not its origin.
        with spans.sending(self.dead_letter_url, kind="client") as span:
            reply = await self._call(
                "SendMessage",
                QueueUrl=self.dead_letter_url,
                MessageBody=message.body,
                MessageAttributes=attributes,
                **options,
            )
            spans.sent(span, reply)

    async def depth(self) -> int:
        """Messages in the queue, in whatever state; approximate, as SQS counts."""
        reply = await self._call(
            "GetQueueAttributes",
            QueueUrl=self.url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )
        return sum(int(value) for value in reply.get("Attributes", {}).values())

    async def flush(self, within_s: float | None = None) -> None:
        """Send what waits to be sent together; deletes not answered in time have failed."""
        await self._deletes.flush(within_s)

    async def _batch(self, operation: str, entries: list[dict[str, Any]]) -> dict[int, str]:
        """Send up to ten entries; the reasons of those that failed, by index."""
        reply = await self._call(operation, QueueUrl=self.url, Entries=entries)
        answered = {int(item["Id"]) for item in reply.get("Successful", [])}
        failed = {
            int(item["Id"]): f"{item.get('Code', 'unknown')}: {item.get('Message', '')}"[:200]
            for item in reply.get("Failed", [])
        }
        for i in range(len(entries)):
            if i not in answered and i not in failed:
                failed[i] = "SQS did not answer for this entry"
        return failed

    async def _call(self, operation: str, **parameters: Any) -> Any:
        """Make one SQS call and count it."""
        ok = False
        try:
            reply = await self._ask(operation, parameters)
            ok = True
        finally:
            self._metrics.sqs_call(operation, ok)
        return reply


def new_attempt_id() -> str:
    """Make a ReceiveRequestAttemptId."""
    return uuid.uuid4().hex


class ResultQueue:
    """The queue that results go to, beside or instead of the webhook."""

    def __init__(self, sqs: SQSClient, url: str, metrics: Metrics) -> None:
        self.url = url
        self.is_fifo = url.endswith(".fifo")
        self._sqs = sqs
        self._metrics = metrics

    async def send(self, body: str, *, event_id: str, event_type: str, job_id: str) -> None:
        """Send one event; `webhook-id`, `event_type` and the trace are message attributes.

        What SQS takes in no body is escaped: the same JSON in another spelling.
        """
        options: dict[str, Any] = {}
        if self.is_fifo:
            options = {"MessageGroupId": job_id, "MessageDeduplicationId": event_id}
        ok = False
        with spans.sending(self.url, kind="producer") as span:
            attributes = {"webhook-id": event_id, "event_type": event_type}
            if traceparent := current_traceparent():
                attributes[TRACEPARENT_ATTRIBUTE] = traceparent
            try:
                reply = await self._sqs.send_message(
                    QueueUrl=self.url,
                    MessageBody=body.translate(NOT_IN_A_BODY),
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in attributes.items()
                    },
                    **options,
                )
                ok = True
            finally:
                self._metrics.sqs_call("SendMessage", ok)
            spans.sent(span, reply)


SqsError = (
    ClientError,
    BotoCoreError,
    ResponseParserError,
    aiohttp.ClientError,
    EntryError,
    TimeoutError,
    OSError,
)
"""What an SQS call may raise that time may mend: refusals, garbled answers, cut connections."""
