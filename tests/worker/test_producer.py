"""Jobs into a real queue and recordings into a real bucket, as moto plays them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import worker.producer
from analysis.errors import AudioError
from tests.worker.tones import encoded
from worker.contract import AnalysisJob
from worker.outgoing import (
    Envelope,
    JobRefused,
)
from worker.producer import AsyncJobProducer, JobProducer, SendReport

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
JOB = {
    "job_id": "take-42",
    "s3_audio_url": "s3://uploads/take 42/녹음.webm",
    "webhook_url": "https://api.example.com/hooks/analysis",
    "video_id": "D7-hk46bT8I",
    "metadata": {"class": "3b", "학생": "민준"},
}


def job(number: int, **fields: Any) -> dict[str, Any]:
    return {**JOB, "job_id": f"job-{number}", **fields}


@pytest.fixture
def queue(moto_endpoint: str) -> str:
    return str(boto3.client("sqs").create_queue(QueueName="jobs")["QueueUrl"])


@pytest.fixture
def fifo(moto_endpoint: str) -> str:
    made = boto3.client("sqs").create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})
    return str(made["QueueUrl"])


@pytest.fixture
def bucket(moto_endpoint: str) -> str:
    boto3.client("s3").create_bucket(Bucket="recordings")
    return "recordings"


def received(queue: str) -> list[dict[str, Any]]:
    sqs = boto3.client("sqs")
    found: list[dict[str, Any]] = []
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        if not answer.get("Messages"):
            return found
        for message in answer["Messages"]:
            found.append(dict(message))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def attribute(message: Mapping[str, Any], name: str) -> str | None:
    found = message.get("MessageAttributes", {}).get(name)
    return found["StringValue"] if found else None


Send = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Send:
    """Call a method of both producers: `call(queue, "send", job, …)`."""

    def run(queue: str, method: str, *arguments: Any, **options: Any) -> Any:
        made = {name: options.pop(name) for name in ("bucket", "prefix") if name in options}
        if request.param == "sync":
            return getattr(JobProducer(queue, **made), method)(*arguments, **options)

        async def in_loop() -> Any:
            async with AsyncJobProducer(queue, **made) as producer:
                return await getattr(producer, method)(*arguments, **options)

        return asyncio.run(in_loop())

    return run


# --- one job


def test_a_job_is_sent_as_the_worker_reads_it(queue: str, call: Send) -> None:
    sent = call(queue, "send", JOB, envelope=Envelope(traceparent=TRACE))
    (message,) = received(queue)
    assert message["MessageId"] == sent.message_id
    assert sent.job_id == "take-42"
    assert AnalysisJob.parse(message["Body"]).metadata == JOB["metadata"]
    assert attribute(message, "job_type") == "audio_analysis"
    assert attribute(message, "traceparent") == TRACE
    assert "timestamp" in json.loads(message["Body"])


def test_a_job_without_an_id_gets_one_of_its_own(queue: str) -> None:
    nameless = {name: value for name, value in JOB.items() if name != "job_id"}
    ids = {JobProducer(queue).send(nameless).job_id for _ in range(3)}
    assert {json.loads(message["Body"])["job_id"] for message in received(queue)} == ids
    assert len(ids) == 3


def test_fields_that_are_not_known_yet_are_sent_on(queue: str) -> None:
    JobProducer(queue).send({**JOB, "dialect": "Seoul"}, envelope=Envelope(job_type="dialect.v2"))
    (message,) = received(queue)
    assert json.loads(message["Body"])["dialect"] == "Seoul"
    assert attribute(message, "job_type") == "dialect.v2"


def test_a_job_model_is_sent_without_what_was_not_said(queue: str) -> None:
    JobProducer(queue).send(AnalysisJob.model_validate(JOB))
    (message,) = received(queue)
    assert set(json.loads(message["Body"])) == {*JOB, "timestamp"}


def test_fifo_jobs_stand_for_themselves_unless_told_otherwise(fifo: str, call: Send) -> None:
    call(fifo, "send", job(1))
    call(fifo, "send", job(1))  # sent twice by mistake
    call(fifo, "send", job(2), envelope=Envelope(group_id="class-3b", deduplication_id="again"))
    first, second = received(fifo)
    assert first["Attributes"]["MessageGroupId"] == "job-1"
    assert first["Attributes"]["MessageDeduplicationId"] == "job-1"
    assert second["Attributes"]["MessageGroupId"] == "class-3b"
    assert second["Attributes"]["MessageDeduplicationId"] == "again"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"job_id": "no spaces"}, "job_id"),
        ({"job_id": "x" * 129}, "job_id"),
        ({"job_id": 42}, "job_id"),
        ({"s3_audio_url": None}, "s3_audio_url"),
        ({"s3_audio_url": "ftp://x/y"}, "scheme 'ftp'"),
        ({"s3_audio_url": "https://example.com/a.wav"}, "is not S3's"),
        ({"s3_audio_url": "s3://B/a.wav"}, "no valid bucket"),
        ({"s3_textgrid_url": "s3://bucket"}, "no key"),
        ({"webhook_url": "consumer.example.com/x"}, "no absolute URL"),
        ({"webhook_url": "https://u:hunter2@example.com/"}, "user name"),
        ({"webhook_url": "https://127.1/"}, "is a number"),
        ({"metadata": {"nested": {"a": 1}}}, "metadata"),
        ({"metadata": {"x": "y" * 5000}}, "over 4096"),
        ({"video_id": None}, "no reference"),
        ({"progress": "yes"}, "progress"),
        ({"when": object()}, "cannot be sent"),
    ],
)
def test_a_job_that_no_worker_would_take_is_not_sent(
    fields: dict[str, Any], complaint: str
) -> None:
    class Untouched:
        def send_message(self, **_: Any) -> None:
            raise AssertionError("it was sent")

    producer = JobProducer("https://sqs.test/q", sqs=Untouched())  # type: ignore[arg-type]
    with pytest.raises(JobRefused, match=complaint) as raised:
        producer.send({**JOB, **fields})
    assert "hunter2" not in str(raised.value)


def test_a_message_over_the_limit_is_refused_before_it_is_sent(queue: str) -> None:
    with pytest.raises(JobRefused, match="1,048,576"):
        JobProducer(queue).send({**JOB, "notes": "안" * 400_000})
    assert received(queue) == []


# --- many jobs


def test_many_jobs_go_in_batches_of_ten(
    queue: str, call: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    report: SendReport = call(
        queue, "send_many", (job(number) for number in range(25)), on_done=steps.append
    )
    assert steps == [10, 10, 5]
    assert {sent.job_id for sent in report.sent} == {f"job-{number}" for number in range(25)}
    assert report.not_sent == ()
    assert len(received(queue)) == 25


def test_a_refused_job_holds_up_no_other(queue: str) -> None:
    steps: list[int] = []
    jobs = [job(1), job(2, s3_audio_url="nonsense://"), job(3), {"job_id": "4"}]
    report: SendReport = JobProducer(queue).send_many(jobs, on_done=steps.append)
    assert [sent.job_id for sent in report.sent] == ["job-1", "job-3"]
    assert [refused.job_id for refused in report.not_sent] == ["job-2", "4"]
    assert sum(steps) == 4


def test_no_jobs_are_no_call(queue: str) -> None:
    assert JobProducer(queue).send_many([]) == SendReport((), ())


class Moody:
    """An SQS client that refuses entries, by job, so many times."""

    def __init__(
        self,
        refusals: dict[str, int],
        *,
        sender_fault: bool = False,
        silent: bool = False,
        errors: Sequence[Exception | None] = (),
    ) -> None:
        self.refusals = refusals
        self.sender_fault = sender_fault
        self.silent = silent
        self.errors = list(errors)
        self.calls: list[list[str]] = []

    def answer(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        ids = [json.loads(entry["MessageBody"])["job_id"] for entry in entries]
        self.calls.append(ids)
        if self.errors and (error := self.errors.pop(0)):
            raise error
        good, bad = [], []
        for entry, job_id in zip(entries, ids, strict=True):
            if self.refusals.get(job_id, 0) > 0:
                self.refusals[job_id] -= 1
                bad.append(
                    {
                        "Id": entry["Id"],
                        "Code": "InternalError",
                        "SenderFault": self.sender_fault,
                    }
                )
            else:
                good.append({"Id": entry["Id"], "MessageId": f"m-{job_id}"})
        return {"Successful": good, "Failed": [] if self.silent else bad}


def refused(status: int, code: str) -> ClientError:
    reply: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(reply, "SendMessageBatch")


@pytest.fixture(params=["sync", "async"])
def send_many(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Moody, list[Any]], SendReport]:
    monkeypatch.setattr(worker.producer, "FIRST_PAUSE_S", 0.001)

    def run(client: Moody, jobs: list[Any]) -> SendReport:
        if request.param == "sync":

            class Sync:
                def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
                    return client.answer(Entries)

            return JobProducer("https://sqs.test/q", sqs=Sync()).send_many(jobs)  # type: ignore[arg-type]

        class Async:
            async def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
                return client.answer(Entries)

        async def in_loop() -> SendReport:
            double: Any = Async()
            async with AsyncJobProducer("https://sqs.test/q", sqs=double, s3=double) as producer:
                return await producer.send_many(jobs)

        return asyncio.run(in_loop())

    return run


def test_failed_entries_alone_are_sent_again(
    send_many: Callable[[Moody, list[Any]], SendReport],
) -> None:
    client = Moody({"job-1": 1, "job-3": 2})
    report = send_many(client, [job(number) for number in range(5)])
    assert client.calls == [
        [f"job-{number}" for number in range(5)],
        ["job-1", "job-3"],
        ["job-3"],
    ]
    assert {(sent.job_id, sent.message_id) for sent in report.sent} == {
        (f"job-{number}", f"m-job-{number}") for number in range(5)
    }


def test_an_entry_that_keeps_failing_is_reported_and_the_rest_is_sent(
    send_many: Callable[[Moody, list[Any]], SendReport],
) -> None:
    report = send_many(Moody({"job-0": 99}), [job(number) for number in range(12)])
    assert len(report.sent) == 11
    (lost,) = report.not_sent
    assert lost.job_id == "job-0"
    assert "InternalError" in lost.reason
    assert "after 4 attempts" in lost.reason


def test_an_entry_that_is_the_sender_s_fault_is_not_sent_again(
    send_many: Callable[[Moody, list[Any]], SendReport],
) -> None:
    client = Moody({"job-0": 99}, sender_fault=True)
    report = send_many(client, [job(0), job(1)])
    assert len(client.calls) == 1
    assert [lost.job_id for lost in report.not_sent] == ["job-0"]


def test_an_entry_that_sqs_does_not_answer_for_is_sent_again_and_else_reported(
    send_many: Callable[[Moody, list[Any]], SendReport],
) -> None:
    client = Moody({"job-1": 1, "job-2": 99}, silent=True)
    report = send_many(client, [job(number) for number in range(3)])
    assert client.calls[1:3] == [["job-1", "job-2"], ["job-2"]]
    assert [sent.job_id for sent in report.sent] == ["job-0", "job-1"]
    (lost,) = report.not_sent
    assert (lost.job_id, lost.reason) == (
        "job-2",
        "SQS did not answer for this entry (after 4 attempts)",
    )


@pytest.mark.parametrize(
    ("error", "may_be_there"),
    [
        (EndpointConnectionError(endpoint_url="https://sqs.test"), True),
        (refused(503, "ServiceUnavailable"), True),
        (refused(403, "AccessDenied"), False),
    ],
    ids=["no answer", "server error", "refused"],
)
def test_a_batch_that_fails_as_a_whole_is_reported_and_the_next_is_sent(
    send_many: Callable[[Moody, list[Any]], SendReport], error: Exception, may_be_there: bool
) -> None:
    client = Moody({"job-3": 1}, errors=[None, error])
    report = send_many(client, [job(number) for number in range(14)])
    assert len(report.sent) == 13
    (lost,) = report.not_sent
    assert lost.job_id == "job-3"
    assert ("may have been taken" in lost.reason) is may_be_there


def test_a_queue_that_is_not_there_is_an_error(moto_endpoint: str) -> None:
    with pytest.raises(ClientError, match="NonExistentQueue"):
        JobProducer(f"{moto_endpoint}/123456789012/gone").send(JOB)


# --- recordings


def test_a_recording_is_put_with_its_hash_and_its_job_is_sent(
    queue: str, bucket: str, call: Send, tmp_path: Path
) -> None:
    path = tmp_path / "take.wav"
    path.write_bytes(encoded("WAV", "PCM_16"))
    fields = {name: value for name, value in JOB.items() if name != "s3_audio_url"}
    done = call(queue, "submit_recording", path, fields, bucket=bucket, prefix="in/")
    assert str(done.location) == "s3://recordings/in/take-42.flac"
    stored = boto3.client("s3").get_object(Bucket=bucket, Key="in/take-42.flac")
    body = stored["Body"].read()
    assert stored["Metadata"] == {
        "sha256": hashlib.sha256(body).hexdigest(),
        "source-sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert stored["ContentType"] == "audio/flac"
    (message,) = received(queue)
    assert AnalysisJob.parse(message["Body"]).s3_audio_url == str(done.location)
    assert done.job_id == "take-42"


def test_a_recording_without_a_job_id_gets_one_that_names_its_object_too(
    queue: str, bucket: str
) -> None:
    done = JobProducer(queue, bucket=bucket).submit_recording(
        encoded("OGG", "VORBIS"), {"text": "Here we go.", "webhook_url": JOB["webhook_url"]}
    )
    assert done.location.key == f"uploads/{done.job_id}.ogg"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "audio_empty"), (b"<html>not found</html>", "audio_invalid")],
)
def test_a_recording_that_the_worker_would_refuse_is_neither_put_nor_sent(
    data: bytes, code: str, queue: str, bucket: str
) -> None:
    with pytest.raises(AudioError) as raised:
        JobProducer(queue, bucket=bucket).submit_recording(data, JOB)
    assert raised.value.code == code
    assert boto3.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert received(queue) == []


def test_a_recording_whose_job_is_wrong_is_neither_put_nor_sent(queue: str, bucket: str) -> None:
    wav = encoded("WAV", "PCM_16")
    with pytest.raises(JobRefused, match="no reference"):
        JobProducer(queue, bucket=bucket).submit_recording(wav, {"job_id": "x"})
    with pytest.raises(JobRefused, match="No bucket"):
        JobProducer(queue).submit_recording(wav, JOB)
    assert boto3.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert received(queue) == []
