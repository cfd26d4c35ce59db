"""A main queue and its dead-letter queue in moto, filled and emptied by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass
class Queues:
    """A main queue and its dead-letter queue."""

    sqs: SQSClient
    main: str
    dead: str

    def bury(self, job_id: str, code: str | None = "not_found", **extra: str) -> str:
        """Put one message into the dead-letter queue, as a worker does; its message id."""
        entry = self.entry(job_id, code, extra)
        return str(self.sqs.send_message(QueueUrl=self.dead, **entry)["MessageId"])

    def bury_many(self, count: int) -> list[str]:
        """Put so many messages there, take-0 and so on; their job ids."""
        job_ids = [f"take-{number}" for number in range(count)]
        for start in range(0, count, 10):
            entries: Any = [
                {"Id": job_id, **self.entry(job_id, "not_found", {})}
                for job_id in job_ids[start : start + 10]
            ]
            self.sqs.send_message_batch(QueueUrl=self.dead, Entries=entries)
        return job_ids

    def entry(self, job_id: str, code: str | None, extra: dict[str, str]) -> Any:
        attributes: dict[str, Any] = {"job_type": text("audio_analysis")}
        if code:
            attributes |= {
                "error_code": text(code),
                "error_stage": text("fetch"),
                "error_message": text(f"There is no recording s3://uploads/{job_id}.wav."),
                "receive_count": {"DataType": "Number", "StringValue": "5"},
                "original_message_id": text(f"orig-{job_id}"),
                "source_queue": text("jobs"),
                "failed_at": text("2026-01-01T00:00:00Z"),
                "event_delivered": text("true"),
            }
        attributes |= {name: text(value) for name, value in extra.items()}
        fifo = {"MessageGroupId": job_id, "MessageDeduplicationId": job_id}
        return {
            "MessageBody": json.dumps({"job_id": job_id, "s3_audio_url": f"s3://uploads/{job_id}"}),
            "MessageAttributes": attributes,
            **(fifo if self.dead.endswith(".fifo") else {}),
        }

    def bodies(self, url: str) -> list[str]:
        """The job ids of all visible messages, which are then gone."""
        return sorted(json.loads(message["Body"])["job_id"] for message in self.drain(url))

    def drain(self, url: str) -> list[Any]:
        found: list[Any] = []
        while messages := self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            found += messages
            self.sqs.delete_message_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
                    for i, message in enumerate(messages)
                ],
            )
        return found


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def make_queues(sqs: SQSClient, suffix: str = "") -> Queues:
    fifo: Any = {"FifoQueue": "true"} if suffix else {}
    dead = sqs.create_queue(QueueName=f"jobs-dlq{suffix}", Attributes=fifo)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 5})
    main = sqs.create_queue(
        QueueName=f"jobs{suffix}", Attributes={"RedrivePolicy": policy, **fifo}
    )["QueueUrl"]
    return Queues(sqs, main, dead)
