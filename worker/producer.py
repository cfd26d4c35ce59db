"""The people's side of the queue: jobs checked and sent, one or many, with their recordings.

    producer = JobProducer("https://sqs…/analysis-jobs")
    producer.send({"s3_audio_url": "s3://uploads/take-42.webm", "text": "Here we go.", …})

`JobProducer` is synchronous (boto3), `AsyncJobProducer` is not (aiobotocore); both do the same.
A producer in another language needs only the schema in docs/schemas/job.schema.json.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from worker.aws import open_clients, region
from worker.contract import AnalysisJob
from worker.locations import S3Location
from worker.outgoing import Envelope, JobRefused, OutgoingMessage, batches, compose, new_job_id
from worker.tracing import current_traceparent
from worker.uploads import Upload, prepare

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from types_aiobotocore_s3 import S3Client as AsyncS3Client
    from types_aiobotocore_sqs import SQSClient as AsyncSqsClient

    from analysis.audio import AudioLimits

__all__ = [
    "AsyncJobProducer",
    "Envelope",
    "JobProducer",
    "JobRefused",
    "NotSent",
    "SendReport",
    "Sent",
    "Submitted",
]

SEND_ATTEMPTS: Final = 4
"""How often an entry of a batch is sent before it is given up. The SDK's own retries of a whole
request come on top."""

FIRST_PAUSE_S: Final = 0.2
"""Before the second attempt; doubling, with jitter."""

DEFAULT_UPLOAD_PREFIX: Final = "uploads/"

Job = AnalysisJob | Mapping[str, Any]
OnDone = Callable[[int], None]


@dataclass(frozen=True)
class Sent:
    """A job that is in the queue."""

    job_id: str
    message_id: str


@dataclass(frozen=True)
class NotSent:
    """A job that is not, and why."""

    job_id: str | None
    reason: str


@dataclass(frozen=True)
class SendReport:
    """What became of many jobs."""

    sent: tuple[Sent, ...]
    not_sent: tuple[NotSent, ...]


@dataclass(frozen=True)
class Submitted:
    """A recording in S3 and its job in the queue."""

    job_id: str
    message_id: str
    location: S3Location
    upload: Upload = field(repr=False)


class JobProducer:
    """Sends jobs; threads may share one, as they may share boto3's clients.

    Parameters
    ----------
    queue_url
        The main queue; `.fifo` at the end means FIFO rules.
    bucket, prefix
        Where `submit_recording` puts recordings.
    sqs, s3
        Clients to use; made when needed unless given.
    """

    def __init__(
        self,
        queue_url: str,
        *,
        bucket: str | None = None,
        prefix: str = DEFAULT_UPLOAD_PREFIX,
        sqs: SQSClient | None = None,
        s3: S3Client | None = None,
    ) -> None:
        self._queue_url = queue_url
        self._is_fifo = queue_url.endswith(".fifo")
        self._bucket = bucket
        self._prefix = prefix
        self._sqs = sqs
        self._s3 = s3
        # Clients may be shared by threads, but making one may not (boto3's guide, "Clients").
        self._making = threading.Lock()

    def send(self, job: Job, *, envelope: Envelope | None = None) -> Sent:
        """Send one job.

        Raises
        ------
        JobRefused
            The worker or SQS would refuse it; nothing was sent.
        botocore.exceptions.ClientError, BotoCoreError
            SQS did not take it, after the SDK's own retries.
        """
        message = compose(job, is_fifo=self._is_fifo, envelope=_traced(envelope))
        answer = self._sqs_client().send_message(QueueUrl=self._queue_url, **message.arguments())
        return Sent(message.job_id, answer["MessageId"])

    def send_many(
        self,
        jobs: Iterable[Job],
        *,
        envelope: Envelope | None = None,
        on_done: OnDone | None = None,
    ) -> SendReport:
        """Send jobs in batches of ten, and each failed entry again.

        A job that is refused, or that SQS does not take, is reported and holds up no other; so
        is a batch that fails as a whole, after the SDK's own retries. In a FIFO group of several
        jobs an entry that failed and was sent again comes after its neighbours; send such jobs
        one by one if their order matters.

        Parameters
        ----------
        jobs
            Any number; they are read as they are sent.
        envelope
            For all of them; ids of FIFO queues are better left to each job.
        on_done
            Called after each batch with the number of jobs dealt with by it.
        """
        tally = _Tally(self._is_fifo, _traced(envelope))
        for batch in batches(tally.composed(jobs)):
            pending: Sequence[OutgoingMessage] = batch
            for pause_s in _pauses_s():
                try:
                    answer = self._sqs_client().send_message_batch(
                        QueueUrl=self._queue_url, Entries=_entries(pending)
                    )
                except (ClientError, BotoCoreError) as error:
                    pending = tally.give_up(pending, error)
                    break
                pending = tally.read(pending, answer)
                if not pending:
                    break
                time.sleep(pause_s)
            tally.end_batch(pending, on_done)
        return tally.report(on_done)

    def submit_recording(
        self,
        recording: bytes | Path,
        job: Mapping[str, Any],
        *,
        envelope: Envelope | None = None,
        limits: AudioLimits | None = None,
    ) -> Submitted:
        """Check a recording, put it to S3 and send its job.

        Parameters
        ----------
        recording
            A sound file's bytes, or its path. WAV becomes FLAC where that loses nothing and
            saves something.
        job
            The job's other fields; `s3_audio_url` is filled in, `job_id` made if it is missing.
        limits
            What the worker refuses, if its settings differ from the defaults.

        Raises
        ------
        analysis.AnalysisError
            The recording cannot be used; the code says why, and nothing was put or sent.
        JobRefused
            The job's other fields are wrong; nothing was put or sent.
        """
        upload = prepare(recording, limits=limits)
        location, fields = _placed(job, upload, self._bucket, self._prefix)
        message = compose(fields, is_fifo=self._is_fifo, envelope=_traced(envelope))
        self._s3_client().put_object(**upload.arguments(location))
        answer = self._sqs_client().send_message(QueueUrl=self._queue_url, **message.arguments())
        return Submitted(message.job_id, answer["MessageId"], location, upload)

    def _sqs_client(self) -> SQSClient:
        with self._making:
            if self._sqs is None:
                import boto3

                self._sqs = boto3.client("sqs", region_name=region())
            return self._sqs

    def _s3_client(self) -> S3Client:
        with self._making:
            if self._s3 is None:
                import boto3

                self._s3 = boto3.client("s3", region_name=region())
            return self._s3


class AsyncJobProducer:
    """Sends jobs from asyncio; an async context manager. See `JobProducer`, whose twin it is."""

    def __init__(
        self,
        queue_url: str,
        *,
        bucket: str | None = None,
        prefix: str = DEFAULT_UPLOAD_PREFIX,
        sqs: AsyncSqsClient | None = None,
        s3: AsyncS3Client | None = None,
    ) -> None:
        self._queue_url = queue_url
        self._is_fifo = queue_url.endswith(".fifo")
        self._bucket = bucket
        self._prefix = prefix
        self._given = (sqs, s3)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        sqs, s3 = self._given
        if sqs is None or s3 is None:
            clients = await self._stack.enter_async_context(open_clients())
            sqs, s3 = sqs or clients.sqs, s3 or clients.s3
        self._sqs, self._s3 = sqs, s3
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def send(self, job: Job, *, envelope: Envelope | None = None) -> Sent:
        """Send one job; see `JobProducer.send`."""
        message = compose(job, is_fifo=self._is_fifo, envelope=_traced(envelope))
        answer = await self._sqs.send_message(QueueUrl=self._queue_url, **message.arguments())
        return Sent(message.job_id, answer["MessageId"])

    async def send_many(
        self,
        jobs: Iterable[Job],
        *,
        envelope: Envelope | None = None,
        on_done: OnDone | None = None,
    ) -> SendReport:
        """Send jobs in batches of ten, and each failed entry again; see `JobProducer.send_many`."""
        tally = _Tally(self._is_fifo, _traced(envelope))
        for batch in batches(tally.composed(jobs)):
            pending: Sequence[OutgoingMessage] = batch
            for pause_s in _pauses_s():
                try:
                    answer = await self._sqs.send_message_batch(
                        QueueUrl=self._queue_url, Entries=_entries(pending)
                    )
                except (ClientError, BotoCoreError) as error:
                    pending = tally.give_up(pending, error)
                    break
                pending = tally.read(pending, answer)
                if not pending:
                    break
                await asyncio.sleep(pause_s)
            tally.end_batch(pending, on_done)
        return tally.report(on_done)

    async def submit_recording(
        self,
        recording: bytes | Path,
        job: Mapping[str, Any],
        *,
        envelope: Envelope | None = None,
        limits: AudioLimits | None = None,
    ) -> Submitted:
        """Check a recording, put it to S3 and send its job; see `JobProducer.submit_recording`."""
        upload = await asyncio.to_thread(prepare, recording, limits=limits)
        location, fields = _placed(job, upload, self._bucket, self._prefix)
        message = compose(fields, is_fifo=self._is_fifo, envelope=_traced(envelope))
        await self._s3.put_object(**upload.arguments(location))
        answer = await self._sqs.send_message(QueueUrl=self._queue_url, **message.arguments())
        return Submitted(message.job_id, answer["MessageId"], location, upload)


class _Tally:
    """Counts what became of each job while batches go out and answers come in."""

    def __init__(self, is_fifo: bool, envelope: Envelope) -> None:
        self._is_fifo = is_fifo
        self._envelope = envelope
        self._sent: list[Sent] = []
        self._not_sent: list[NotSent] = []
        self._reasons: dict[str, str] = {}
        self._told = 0

    def composed(self, jobs: Iterable[Job]) -> Iterator[OutgoingMessage]:
        for job in jobs:
            try:
                yield compose(job, is_fifo=self._is_fifo, envelope=self._envelope)
            except JobRefused as refusal:
                self._not_sent.append(NotSent(refusal.job_id, str(refusal)))

    def read(
        self, batch: Sequence[OutgoingMessage], answer: Mapping[str, Any]
    ) -> list[OutgoingMessage]:
        """Read an answer; returns the messages to send again."""
        for entry in answer.get("Successful", ()):
            message = batch[int(entry["Id"])]
            self._sent.append(Sent(message.job_id, entry["MessageId"]))
        again = []
        answered = {int(entry["Id"]) for entry in answer.get("Successful", ())}
        for entry in answer.get("Failed", ()):
            answered.add(int(entry["Id"]))
            message = batch[int(entry["Id"])]
            reason = f"{entry.get('Code', 'unknown')}: {entry.get('Message', '')}".rstrip(": ")
            if entry.get("SenderFault"):
                self._not_sent.append(NotSent(message.job_id, reason))
            else:
                self._reasons[message.job_id] = reason
                again.append(message)
        for index, message in enumerate(batch):
            if index not in answered:
                self._reasons[message.job_id] = "SQS did not answer for this entry"
                again.append(message)
        return again

    def give_up(
        self, batch: Sequence[OutgoingMessage], error: ClientError | BotoCoreError
    ) -> list[OutgoingMessage]:
        """Report a whole request that failed; nothing is left to send again."""
        reason = str(error)
        if not _is_refusal(error):
            reason = f"{reason} (SQS gave no answer: the job may have been taken)"
        self._not_sent += [NotSent(message.job_id, reason) for message in batch]
        return []

    def end_batch(self, left: Sequence[OutgoingMessage], on_done: OnDone | None) -> None:
        for message in left:
            reason = self._reasons[message.job_id]
            self._not_sent.append(
                NotSent(message.job_id, f"{reason} (after {SEND_ATTEMPTS} attempts)")
            )
        self._reasons.clear()
        self._tell(on_done)

    def report(self, on_done: OnDone | None) -> SendReport:
        self._tell(on_done)
        return SendReport(tuple(self._sent), tuple(self._not_sent))

    def _tell(self, on_done: OnDone | None) -> None:
        done = len(self._sent) + len(self._not_sent)
        if on_done is not None and done > self._told:
            on_done(done - self._told)
        self._told = done


def _traced(envelope: Envelope | None) -> Envelope:
    """The envelope, with the trace that this is part of unless it names one."""
    envelope = envelope or Envelope()
    if envelope.traceparent is not None:
        return envelope
    return Envelope(
        envelope.job_type, current_traceparent(), envelope.group_id, envelope.deduplication_id
    )


def _entries(messages: Sequence[OutgoingMessage]) -> Any:
    return [{"Id": str(index), **message.arguments()} for index, message in enumerate(messages)]


def _is_refusal(error: ClientError | BotoCoreError) -> bool:
    """Whether SQS itself said no; of any other error nobody knows what became of the request."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return 400 <= status < 500


def _pauses_s() -> Iterator[float]:
    """A pause after each attempt; none after the last."""
    for attempt in range(SEND_ATTEMPTS - 1):
        yield FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)
    yield 0.0


def _placed(
    job: Mapping[str, Any], upload: Upload, bucket: str | None, prefix: str
) -> tuple[S3Location, dict[str, Any]]:
    """Where a recording goes, and its job with that place in it."""
    if bucket is None:
        raise JobRefused("No bucket: give JobProducer a bucket to put recordings into.")
    job_id = job.get("job_id") or new_job_id()
    location = S3Location(bucket, f"{prefix}{job_id}.{upload.extension}")
    return location, {**job, "job_id": job_id, "s3_audio_url": str(location)}
