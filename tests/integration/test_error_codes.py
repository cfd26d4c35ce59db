"""Every error code, provoked once end to end: what the dead letter and the failed event say."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.account import Account, DeadLetter, TestQueue, unique
from tests.integration.conftest import Launch
from tests.integration.gateway import AwsRequest, Fault, Gateway
from tests.integration.inbox import Delivery, Inbox
from tests.integration.waiting import wait_for
from tests.integration.worker_process import WorkerProcess
from worker.failures import CODES, ErrorCode, Policy

SPEECH: Final = Path(__file__).resolve().parents[1] / "fixtures" / "harbor"
MAX_AUDIO_MB: Final = 1
MAX_AUDIO_S: Final = 12
ANALYSIS_TIMEOUT_S: Final = 2
JOB_TIMEOUT_S: Final = 8
METADATA: Final = {"course": "b2", "try": 3, "보기": True}

INJECTED: Final = {
    # An object above the limit is refused while it is fetched (input_too_large), so that the same
    # limit of the decoder is met only by the library's other callers. The code's way to the
    # dead letter is shown with an analysis that reports it.
    ErrorCode.AUDIO_TOO_LARGE,
}


def wav(
    samples: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16, tag: int = 1
) -> bytes:
    """Write a WAV file by hand: the writers of libraries refuse what is wanted here."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def silent_flac(seconds: float) -> bytes:
    """Write silence, which FLAC packs a thousandfold."""
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.zeros(int(16_000 * seconds), np.int16), 16_000, format="FLAC")
    return file.getvalue()


def inputs() -> dict[str, bytes]:
    """What lies in the bucket."""
    good = (SPEECH / "good.flac").read_bytes()
    return {
        "good.flac": good,
        "omitted.flac": (SPEECH / "omitted.flac").read_bytes(),
        "line.TextGrid": (SPEECH / "actor.TextGrid").read_bytes(),
        "pitch.json": (SPEECH / "pitch.json").read_bytes(),
        "large.wav": b"RIFF" + bytes(MAX_AUDIO_MB * 2**20 + 1),
        "empty.wav": wav(b""),
        "letter.txt": b"Dear worker, this is no sound at all. " * 40,
        "cut.flac": good[: len(good) // 2],
        "nan.wav": wav(struct.pack("<f", float("nan")) * 16_000, bits=32, tag=3),
        "choir.wav": wav(bytes(2 * 16 * 16_000), channels=16),
        "long.flac": silent_flac(MAX_AUDIO_S + 1),
        "torn.TextGrid": b'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n',
        "torn.json": b'[{"time": 0.1, "hz": "high"}]',
        "denied/good.flac": good,
        "expired/good.flac": good,
        "slow/good.flac": good,
    }


@dataclass(frozen=True)
class Case:
    """One way to fail."""

    code: ErrorCode
    audio: str = "good.flac"
    fields: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[dict[str, Any]], str] = json.dumps
    attributes: Mapping[str, str] = field(default_factory=dict)
    hook: str | None = "hook"
    """The path of the webhook; of the second consumer if it begins with `answer`."""
    is_told: bool = True
    """Whether the consumer gets an `analysis.failed`."""
    says: str = ""
    """What the message names."""
    stage: str | None = None
    is_hasty: bool = False
    """Whether it is sent to the worker with short limits and a results queue."""


def scripted(text: str, *lines: str) -> dict[str, Any]:
    return {"fields": {"text": "\n".join((text, *lines))}, "attributes": {"job_type": "scripted"}}


CASES: Final = [
    Case(
        ErrorCode.INVALID_JSON,
        body=lambda job: json.dumps(job)[:-1],
        is_told=False,
        says="no JSON",
    ),
    Case(ErrorCode.INVALID_MESSAGE, fields={"metadata": {"a": {"b": 1}}}, says="metadata: "),
    Case(ErrorCode.UNKNOWN_JOB_TYPE, attributes={"job_type": "horoscope"}, says="'horoscope'"),
    Case(
        ErrorCode.URL_REFUSED,
        fields={"webhook_url": "http://169.254.169.254/latest/meta-data"},
        is_told=False,
        says="169.254.169.254",
    ),
    Case(
        ErrorCode.BUCKET_NOT_ALLOWED,
        fields={"s3_audio_url": "s3://elsewhere/good.flac"},
        says="'elsewhere'",
    ),
    Case(ErrorCode.JOB_ID_CONFLICT, audio="omitted.flac", says="other inputs"),
    Case(ErrorCode.NOT_FOUND, audio="Heath Ledger/없는 파일.flac", says="없는 파일.flac"),
    Case(ErrorCode.INPUT_TOO_LARGE, audio="large.wav", says="large.wav"),
    Case(ErrorCode.ACCESS_DENIED, audio="denied/good.flac", says="denied/good.flac"),
    Case(ErrorCode.CREDENTIALS_EXPIRED, audio="expired/good.flac", says="ExpiredToken"),
    Case(ErrorCode.STORAGE_UNAVAILABLE, audio="slow/good.flac", says="SlowDown"),
    Case(ErrorCode.AUDIO_EMPTY, audio="empty.wav"),
    Case(ErrorCode.AUDIO_INVALID, audio="letter.txt"),
    Case(ErrorCode.AUDIO_TRUNCATED, audio="cut.flac"),
    Case(ErrorCode.AUDIO_NOT_FINITE, audio="nan.wav"),
    Case(ErrorCode.AUDIO_UNSUPPORTED, audio="choir.wav", says="16"),
    Case(ErrorCode.AUDIO_TOO_LARGE, **scripted("refuse audio_too_large")),
    Case(ErrorCode.AUDIO_TOO_LONG, audio="long.flac", says=str(MAX_AUDIO_S)),
    Case(ErrorCode.REFERENCE_INVALID, fields={"s3_textgrid_url": "torn.TextGrid"}),
    Case(ErrorCode.PITCH_INVALID, fields={"s3_pitch_url": "torn.json"}),
    Case(ErrorCode.TIMEOUT, **scripted("sleep 600"), says=f"{ANALYSIS_TIMEOUT_S} s", is_hasty=True),
    Case(ErrorCode.WORKER_LOST, **scripted("crash"), says="exit code -11"),
    Case(ErrorCode.ANALYSIS_ERROR, **scripted("raise surprise"), says="RuntimeError"),
    Case(ErrorCode.WEBHOOK_GONE, hook="answer/410", is_told=False, says="410"),
    Case(ErrorCode.WEBHOOK_REJECTED, hook="answer/413", is_told=False, says="413"),
    Case(ErrorCode.WEBHOOK_UNAVAILABLE, hook="answer/503", is_told=False, says="503"),
    Case(ErrorCode.RESULTS_UNAVAILABLE, **scripted("say unstorable")),
    Case(
        ErrorCode.RESULT_QUEUE_UNAVAILABLE,
        **scripted("say nothing"),
        is_told=False,
        is_hasty=True,
    ),
    Case(
        ErrorCode.JOB_TIMEOUT,
        **scripted("allow 600", "sleep 600"),
        says="WORKER_JOB_TIMEOUT_S",
        is_hasty=True,
    ),
    Case(ErrorCode.INTERNAL_ERROR, **scripted("fail in the worker"), says="ZeroDivisionError"),
]


@dataclass
class Outcome:
    """What became of a case's message."""

    sent: str
    message_id: str
    job_id: str
    letter: DeadLetter | None = None
    events: list[Delivery] = field(default_factory=list)


def faults(request: AwsRequest) -> Fault | None:
    """What AWS refuses."""
    if request.service == "s3":
        if "/denied/" in request.path:
            return Fault(403, "AccessDenied")
        if "/expired/" in request.path:
            return Fault(400, "ExpiredToken")
        if "/slow/" in request.path:
            return Fault(503, "SlowDown")
        if request.operation == "PUT" and b"unstorable" in request.body:
            return Fault(500, "InternalError")
    is_event = request.operation == "SendMessage" and b"webhook-id" in request.body
    if is_event and ErrorCode.RESULT_QUEUE_UNAVAILABLE.encode() in request.body:
        return Fault(500, "InternalError")
    return None


@dataclass
class Bench:
    """Where the cases are sent: a worker with speech and models, and a hasty one without."""

    account: Account
    inbox: Inbox
    refusing: Inbox
    bucket: str
    usual: TestQueue
    hasty: TestQueue

    def send(self, case: Case) -> Outcome:
        job_id = unique(case.code.value)
        job = self.job(job_id, case)
        queue = self.hasty if case.is_hasty else self.usual
        body = case.body(job)
        return Outcome(body, queue.send(body, **case.attributes), job_id)

    def job(self, job_id: str, case: Case) -> dict[str, Any]:
        consumer = self.refusing if (case.hook or "").startswith("answer") else self.inbox
        named = {
            "s3_audio_url": f"s3://{self.bucket}/{case.audio}",
            "s3_textgrid_url": "line.TextGrid",
            "webhook_url": consumer.url(case.hook) if case.hook else None,
            "metadata": METADATA,
        }
        return {"job_id": job_id, **named, **case.fields}


@pytest.fixture(scope="module")
def bench(
    account: Account,
    module_gateway: Gateway,
    module_launch: Launch,
    inbox: Inbox,
    other_inbox: Inbox,
) -> Bench:
    bucket, results = account.bucket(inputs()), account.bucket()
    queues = account.queue(max_receives=1), account.queue(max_receives=1)
    module_gateway.rules.append(faults)
    workers: list[WorkerProcess] = [
        module_launch(
            queues[0].url,
            concurrency=2,
            allowed_buckets=bucket,
            results_bucket=results,
            max_audio_mb=MAX_AUDIO_MB,
            max_audio_s=MAX_AUDIO_S,
            handlers="tests.integration.scripted_jobs",
            endpoint=module_gateway.url,
            default_bucket=bucket,
            wait=False,
        ),
        module_launch(
            queues[1].url,
            concurrency=2,
            result_queue_url=account.queue(dead_letters=False).url,
            analysis_timeout_s=ANALYSIS_TIMEOUT_S,
            job_timeout_s=JOB_TIMEOUT_S,
            endpoint=module_gateway.url,
            default_bucket=bucket,
            wait=False,
        ),
    ]
    for worker in workers:
        worker.wait_until_ready()
    return Bench(account, inbox, other_inbox, bucket, *queues)


@pytest.fixture(scope="module")
def outcomes(bench: Bench) -> dict[ErrorCode, Outcome]:
    """Send every case at once and wait until each has its dead letter."""
    conflict = next(case for case in CASES if case.code is ErrorCode.JOB_ID_CONFLICT)
    first = bench.job(unique("taken"), conflict) | {"s3_audio_url": "good.flac"}
    bench.usual.send(first)
    found = {case.code: bench.send(case) for case in CASES if case is not conflict}
    bench.inbox.wait(first["job_id"], "analysis.completed", within_s=60)
    body = json.dumps(first | {"s3_audio_url": "omitted.flac"})
    found[conflict.code] = Outcome(body, bench.usual.send(body), first["job_id"])

    letters = bench.usual.dead_letters(sum(not case.is_hasty for case in CASES), within_s=100)
    letters += bench.hasty.dead_letters(sum(case.is_hasty for case in CASES))
    by_message = {letter.attributes.get("original_message_id"): letter for letter in letters}
    for outcome in found.values():
        outcome.letter = by_message.get(outcome.message_id)
        outcome.events = bench.inbox.of(outcome.job_id, "analysis.failed")
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code.value)
def test_every_code_reaches_the_dead_letter_and_the_consumer(
    case: Case, outcomes: dict[ErrorCode, Outcome]
) -> None:
    outcome = outcomes[case.code]
    letter = outcome.letter
    assert letter is not None, "no dead letter"
    info = CODES[case.code]
    is_final = info.policy is not Policy.PERMANENT  # the queue's one receive was the last
    code = ErrorCode.RETRIES_EXHAUSTED if is_final else case.code
    stage = case.stage or info.stage.value

    assert letter.body == outcome.sent
    assert letter.attributes["error_code"] == code
    assert letter.attributes.get("error_cause") == (case.code.value if is_final else None)
    assert letter.attributes["error_stage"] == stage
    assert case.says in letter.attributes["error_message"]
    assert letter.attributes["receive_count"] == "1"
    assert letter.attributes["source_queue"].startswith("jobs-")
    assert letter.attributes["failed_at"].endswith("Z")
    assert letter.attributes["event_delivered"] == ("true" if case.is_told else "false")
    for name, value in case.attributes.items():
        assert letter.attributes[name] == value

    assert len(outcome.events) == case.is_told
    if case.is_told:
        delivery = outcome.events[0]
        assert delivery.is_signed
        data = delivery.event["data"]
        assert data["status"] == "failed"
        assert data["progress"] == 100
        assert data["attempt"] == 1
        assert data["metadata"] == ({} if case.code is ErrorCode.INVALID_MESSAGE else METADATA)
        assert data["error"]["code"] == code
        assert data["error"]["cause"] == (case.code if is_final else None)
        assert data["error"]["stage"] == stage
        assert data["error"]["retryable"] is is_final
        assert data["error"]["message"].endswith(info.advice)
        assert data.get("result") is None


def test_the_cases_cover_every_code_there_is() -> None:
    # retries_exhausted is what each retryable case above ends as.
    covered = {case.code for case in CASES} | {ErrorCode.RETRIES_EXHAUSTED}
    assert covered == set(ErrorCode)
    assert any(CODES[case.code].policy is not Policy.PERMANENT for case in CASES)
    assert {case.code for case in CASES if case.fields.get("text", "").startswith("refuse")} == (
        INJECTED
    )


def test_a_failed_event_has_one_id_for_all_its_deliveries(
    outcomes: dict[ErrorCode, Outcome],
) -> None:
    ids = [event.event_id for outcome in outcomes.values() for event in outcome.events]
    assert len(set(ids)) == len(ids)
    assert all(event_id.startswith("evt_") and "." not in event_id for event_id in ids)


def test_a_retryable_failure_is_tried_as_often_as_the_queue_says_and_told_once(
    account: Account, gateway: Gateway, launch: Launch, inbox: Inbox
) -> None:
    bucket = account.bucket({"slow/good.flac": b"x"})
    queue = account.queue(max_receives=3)
    gateway.rules.append(faults)
    launch(queue.url, endpoint=gateway.url, default_bucket=bucket)
    job_id = unique("thrice")
    queue.send(
        {
            "job_id": job_id,
            "s3_audio_url": "slow/good.flac",
            "text": "say hi",
            "webhook_url": inbox.url(),
        }
    )

    (letter,) = queue.dead_letters(within_s=40)

    assert letter.attributes["receive_count"] == "3"
    assert letter.code == ErrorCode.RETRIES_EXHAUSTED
    assert letter.attributes["error_cause"] == ErrorCode.STORAGE_UNAVAILABLE
    (event,) = inbox.of(job_id, "analysis.failed")
    assert event.event["data"]["attempt"] == 3
    queue.wait_until_empty()


def test_a_failed_event_that_is_not_taken_is_tried_again_until_the_last_receive(
    account: Account, launch: Launch
) -> None:
    queue = account.queue(max_receives=2)
    launch(queue.url)
    with Inbox() as refusing:
        job_id = unique("untold")
        queue.send(
            {
                "job_id": job_id,
                "s3_audio_url": "s3://no-such-bucket/x",
                "text": "say hi",
                "webhook_url": refusing.url("answer/500"),
            }
        )
        (letter,) = queue.dead_letters(within_s=40)
        assert letter.code == ErrorCode.NOT_FOUND
        assert letter.attributes["receive_count"] == "2"
        assert letter.attributes["event_delivered"] == "false"
        assert {d.event_id for d in refusing.of(job_id)} == {refusing.of(job_id)[0].event_id}
    wait_for(lambda: queue.depth() == (0, 0), within_s=10, what="empty queue")
