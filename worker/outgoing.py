"""A job on its way into the queue: checked as the worker will check it, and within SQS's limits."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError

from worker.aws import endpoint_url
from worker.contract import DEFAULT_JOB_TYPE, AnalysisJob, explain
from worker.failures import JobFailure
from worker.locations import LocationError, S3Location
from worker.netguard import NetGuard
from worker.quotas import MAX_BATCH, MAX_MESSAGE_BYTES, NOT_IN_A_BODY
from worker.tracing import TRACEPARENT

MAX_GROUP_CHARS: Final = 128

_JOB_TYPE: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_FIFO_ID: Final = re.compile(r"[!-~]{1,128}")
_LOCATIONS: Final = (
    "s3_audio_url",
    "s3_textgrid_url",
    "s3_pitch_url",
    "s3_reference_audio_url",
)
_ANY_BUCKET: Final = "the-workers-own-default"
"""Stands for WORKER_DEFAULT_BUCKET, which a producer need not know, while a bare key is checked."""


class JobRefused(ValueError):
    """A job that the worker would refuse, or that SQS would; the text says which field and why.

    Parameters
    ----------
    job_id
        Whose it is, if that could be read.
    """

    def __init__(self, message: str, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


@dataclass(frozen=True)
class Envelope:
    """What goes with a job, beside its body.

    Attributes
    ----------
    job_type
        Which handler takes it.
    traceparent
        The W3C trace context that the worker's spans join.
    group_id
        FIFO queues: jobs of one group are handed out one after the other; its job_id unless given,
        so that jobs do not wait for each other.
    deduplication_id
        FIFO queues: SQS drops a second message with it within five minutes; the job_id unless
        given, so that a job that is sent twice by mistake is done once.
    """

    job_type: str = DEFAULT_JOB_TYPE
    traceparent: str | None = None
    group_id: str | None = None
    deduplication_id: str | None = None


@dataclass(frozen=True)
class OutgoingMessage:
    """One message that SQS will take."""

    job_id: str
    body: str
    attributes: Mapping[str, str]
    group_id: str | None = None
    deduplication_id: str | None = None

    @property
    def size_bytes(self) -> int:
        """What SQS counts: the body, and each attribute's name, type and value."""
        return len(self.body.encode()) + sum(
            len(name.encode()) + len("String") + len(value.encode())
            for name, value in self.attributes.items()
        )

    def arguments(self) -> dict[str, Any]:
        """The arguments of SendMessage, and of an entry of SendMessageBatch."""
        named: dict[str, Any] = {
            "MessageBody": self.body,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value}
                for name, value in self.attributes.items()
            },
        }
        if self.group_id is not None:
            named["MessageGroupId"] = self.group_id
            named["MessageDeduplicationId"] = self.deduplication_id
        return named


def new_job_id() -> str:
    """A job_id that no other job has."""
    return f"job_{uuid.uuid4().hex}"


def compose(
    job: AnalysisJob | Mapping[str, Any], *, is_fifo: bool, envelope: Envelope | None = None
) -> OutgoingMessage:
    """Make the message of a job.

    A mapping is sent as it stands, with fields that this version does not know, once it has
    passed the worker's own checks; `job_id` and `timestamp` are added where they are missing.

    Raises
    ------
    JobRefused
        The worker would refuse the job, or SQS the message.
    """
    envelope = envelope or Envelope()
    fields = (
        job.model_dump(mode="json", exclude_defaults=True)
        if isinstance(job, AnalysisJob)
        else dict(job)
    )
    if fields.get("job_id") is None:
        fields["job_id"] = new_job_id()
    job_id = fields["job_id"]
    shown_id = job_id if isinstance(job_id, str) else None
    fields.setdefault("timestamp", datetime.now(UTC).isoformat(timespec="milliseconds"))
    try:
        checked = AnalysisJob.model_validate(fields)
        _check_places(checked)
        body = orjson.dumps(fields).decode().translate(NOT_IN_A_BODY)
    except ValidationError as error:
        raise JobRefused(explain(error), shown_id) from None
    except (LocationError, TypeError) as error:
        raise JobRefused(f"The job {shown_id!r} cannot be sent: {error}.", shown_id) from None
    except JobFailure as failure:
        raise JobRefused(failure.message, shown_id) from None
    message = OutgoingMessage(
        checked.job_id, body, _attributes(envelope), *_fifo_ids(checked, envelope, is_fifo)
    )
    if message.size_bytes > MAX_MESSAGE_BYTES:
        raise JobRefused(
            f"The job {checked.job_id!r} is {message.size_bytes:,} bytes as a message, and SQS "
            f"takes {MAX_MESSAGE_BYTES:,}: put what is large into S3 and send its location.",
            checked.job_id,
        )
    return message


def batches(messages: Iterable[OutgoingMessage]) -> Iterator[list[OutgoingMessage]]:
    """Group messages into batches of at most ten, and of at most 1 MiB together."""
    batch: list[OutgoingMessage] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == MAX_BATCH or size + message.size_bytes > MAX_MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.size_bytes
    if batch:
        yield batch


def _check_places(job: AnalysisJob) -> None:
    """What no setting of any worker could make right; the rest is the worker's to judge."""
    for name in _LOCATIONS:
        text = getattr(job, name)
        if text is not None:
            S3Location.parse(text, default_bucket=_ANY_BUCKET, endpoint_url=endpoint_url())
    if job.webhook_url is not None:
        NetGuard(allow_http=True).target(job.webhook_url)
    if job.s3_textgrid_url is None and job.text is None and job.video_id is None:
        raise JobRefused(
            f"The job {job.job_id!r} has no reference: send s3_textgrid_url, or text, or the "
            "video_id of a clip under the worker's WORKER_REFERENCE_PREFIX.",
            job.job_id,
        )


def _attributes(envelope: Envelope) -> dict[str, str]:
    if not _JOB_TYPE.fullmatch(envelope.job_type):
        raise JobRefused(f"The job_type {envelope.job_type[:80]!r} is no name of a job type.")
    found = {"job_type": envelope.job_type}
    if envelope.traceparent is not None:
        if not TRACEPARENT.fullmatch(envelope.traceparent):
            raise JobRefused("The traceparent is not in the form 00-…-…-01 of W3C Trace Context.")
        found["traceparent"] = envelope.traceparent
    return found


def _fifo_ids(
    job: AnalysisJob, envelope: Envelope, is_fifo: bool
) -> tuple[str, str] | tuple[None, None]:
    if not is_fifo:
        return None, None
    group = envelope.group_id or job.job_id
    deduplication = envelope.deduplication_id or job.job_id
    for name, value in (("group id", group), ("deduplication id", deduplication)):
        if not _FIFO_ID.fullmatch(value):
            raise JobRefused(
                f"The {name} {value[:80]!r} is not 1 to {MAX_GROUP_CHARS} printable ASCII "
                "characters without spaces.",
                job.job_id,
            )
    return group, deduplication
