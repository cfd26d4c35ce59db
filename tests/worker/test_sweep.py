from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import orjson
import pytest
from aiobotocore.response import StreamingBody
from aiobotocore.session import AioSession, get_session
from aiohttp import ClientPayloadError
from typer.testing import CliRunner

from tests.worker.queues import Queues, make_queues
from worker import aws, deadletters, undelivered
from worker.cli import app
from worker.contract import Addressee, AnalysisJob, Event, EventType, build_event, event_id_of
from worker.locations import S3Location
from worker.results import ResultStore, fingerprint
from worker.settings import Settings
from worker.storage import Storage
from worker.sweep import SweepOptions, sweep
from worker.sweep_report import SweepReport
from worker.webhook import WebhookSender

BUCKET = "results"
AT_ONCE = SweepOptions(undelivered_older_than_s=-1)
Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def session() -> AioSession:
    """One for all tests here: to read botocore's models anew takes longer than most of them."""
    return get_session()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, session: AioSession) -> None:
    monkeypatch.setattr(aws, "get_session", lambda: session)
    # moto hides nothing from a short poll.
    monkeypatch.setattr(deadletters, "WAIT_S", 0)


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    for name, value in {
        "WORKER_QUEUE_URL": made.main,
        "WORKER_RESULTS_BUCKET": BUCKET,
        "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
    }.items():
        clean_environment.setenv(name, value)
    return made


def job(job_id: str, url: str | None) -> dict[str, Any]:
    return {"job_id": job_id, "s3_audio_url": "s3://u/a.wav", "text": "Go.", "webhook_url": url}


def silent(queues: Queues, body: str) -> None:
    """A message as SQS itself moves it: without any reason."""
    queues.sqs.send_message(
        QueueUrl=queues.dead,
        MessageBody=body,
        MessageAttributes={
            "traceparent": {"DataType": "String", "StringValue": "00-x"},
        },
    )


async def swept(options: SweepOptions = AT_ONCE) -> SweepReport:
    return await sweep(Settings.load(), options)


def completed(job_id: str) -> Event:
    return build_event(
        EventType.COMPLETED,
        Addressee(job_id),
        attempt=1,
        progress=100,
        message="Scored.",
        result=b'{"scores": {"overall": 71.0}}',
    )


async def store(job_fields: dict[str, Any], *, delivered: bool = False) -> Event:
    """Keep a result as a worker does, just before it is killed."""
    event = completed(job_fields["job_id"])
    async with aws.open_clients() as clients:
        results = ResultStore.from_settings(Settings.load(), Storage(clients.s3))
        assert results is not None
        await results.keep(
            event,
            fingerprint=fingerprint(AnalysisJob.parse(orjson.dumps(job_fields)), "audio_analysis"),
            webhook_url=job_fields["webhook_url"],
        )
        if delivered:
            await results.mark_delivered(event.job_id)
    return event


def keys() -> list[str]:
    reply = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in reply.get("Contents", [])]


def events(consumer: Any) -> list[tuple[str, str, str]]:
    """What a consumer got: id, type, job."""
    return [
        (
            received.headers["webhook-id"],
            json.loads(received.body)["type"],
            json.loads(received.body)["data"]["job_id"],
        )
        for received in consumer.received
    ]


# --- dead letters that SQS moved itself


async def test_a_silent_letter_is_answered_once(queues: Queues, open_consumer: Opened) -> None:
    consumer = await open_consumer()
    silent(queues, json.dumps(job("take-1", consumer.url)))
    assert (await swept()).answered == 1
    assert (await swept()).answered == 0
    assert events(consumer) == [
        (event_id_of("take-1", EventType.FAILED), "analysis.failed", "take-1")
    ]
    error = json.loads(consumer.received[0].body)["data"]["error"]
    assert (error["code"], error["cause"]) == ("retries_exhausted", "worker_lost")
    (letter,) = queues.drain(queues.dead)
    values = {k: v["StringValue"] for k, v in letter["MessageAttributes"].items()}
    assert values["error_code"] == "retries_exhausted"
    assert values["event_delivered"] == "true"
    assert values["traceparent"] == "00-x"
    assert values["source_queue"] == "jobs"


async def test_looks_at_a_letter_are_no_attempts_at_its_job(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    silent(queues, json.dumps(job("take-1", consumer.url)))
    for _ in range(7):
        queues.sqs.receive_message(QueueUrl=queues.dead, VisibilityTimeout=0)
    assert (await swept()).answered == 1
    data = json.loads(consumer.received[0].body)["data"]
    assert data["attempt"] == 5
    assert "received 5 times" in data["error"]["message"]
    (letter,) = queues.drain(queues.dead)
    assert letter["MessageAttributes"]["receive_count"]["StringValue"] == "5"


async def test_letters_with_a_reason_are_left_alone(queues: Queues, open_consumer: Opened) -> None:
    consumer = await open_consumer()
    queues.bury("take-1")
    assert (await swept()).as_dict() == SweepReport().as_dict()
    assert consumer.received == []
    assert queues.bodies(queues.dead) == ["take-1"]


async def test_two_sweeps_side_by_side_answer_each_letter_once(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    for number in range(14):
        silent(queues, json.dumps(job(f"take-{number}", consumer.url)))
    first, second = await asyncio.gather(swept(), swept())
    assert first.answered + second.answered == 14
    assert len(set(events(consumer))) == len(events(consumer)) == 14
    assert len(queues.drain(queues.dead)) == 14


async def test_a_letter_whose_consumer_is_down_waits_for_the_next_sweep(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0,))
    consumer = await open_consumer(answers=[503, 200])
    silent(queues, json.dumps(job("take-1", consumer.url)))
    assert (await swept()).later == 1
    assert (await swept()).answered == 1


@pytest.mark.parametrize(
    "body",
    ["no JSON", json.dumps({"webhook_url": "http://h/x"}), json.dumps(job("take-1", None))],
    ids=["no JSON", "no job_id", "no webhook"],
)
async def test_a_letter_with_nobody_to_tell_is_marked_so(queues: Queues, body: str) -> None:
    silent(queues, body)
    assert (await swept()).marked == 1
    assert (await swept()).marked == 0
    (letter,) = queues.drain(queues.dead)
    assert letter["MessageAttributes"]["event_delivered"]["StringValue"] == "false"


async def test_a_letter_to_a_refused_address_is_marked_so(queues: Queues) -> None:
    silent(queues, json.dumps(job("take-1", "http://169.254.169.254/latest")))
    assert (await swept()).marked == 1


async def test_a_letter_whose_result_was_stored_gets_the_result(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    fields = job("take-1", consumer.url)
    event = await store(fields)
    silent(queues, json.dumps(fields))
    report = await swept(SweepOptions(undelivered_older_than_s=3600))
    assert report.recovered == 1
    assert events(consumer) == [(event.event_id, "analysis.completed", "take-1")]
    assert consumer.received[0].body == event.body
    assert queues.drain(queues.dead) == []
    assert "results/undelivered/take-1.json" not in keys()


async def test_a_letter_whose_result_was_delivered_is_just_removed(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    fields = job("take-1", consumer.url)
    await store(fields, delivered=True)
    silent(queues, json.dumps(fields))
    assert (await swept()).recovered == 1
    assert consumer.received == []
    assert queues.drain(queues.dead) == []


async def test_a_letter_whose_job_id_belongs_to_another_job_says_so(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url), delivered=True)
    silent(queues, json.dumps({**job("take-1", consumer.url), "text": "Another line."}))
    assert (await swept()).answered == 1
    assert json.loads(consumer.received[0].body)["data"]["error"]["code"] == "job_id_conflict"


async def test_one_letter_that_fails_stops_neither_the_next_nor_the_other_repairs(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0,))
    down, well, third = [await open_consumer(answers=[code]) for code in (503, 200, 200)]
    await store(job("take-1", down.url), delivered=True)
    await store(job("take-9", third.url))
    # Of another job under the same id: a permanent failure, whose own event then fails to go.
    silent(queues, json.dumps({**job("take-1", down.url), "text": "Another line."}))
    silent(queues, json.dumps(job("take-2", well.url)))
    report = await swept()
    assert (report.later, report.answered, report.resent, report.errors) == (1, 1, 1, 0)
    assert events(well) == [(event_id_of("take-2", EventType.FAILED), "analysis.failed", "take-2")]


async def test_a_letter_that_nobody_foresaw_stops_no_other(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    for name in ("take-1", "take-2"):
        silent(queues, json.dumps(job(name, consumer.url)))

    def poisoned(kind: EventType, addressee: Addressee, **rest: Any) -> Event:
        if addressee.job_id == "take-1":
            raise TypeError("Integer exceeds 64-bit range")
        return build_event(kind, addressee, **rest)

    monkeypatch.setattr("worker.silent_letters.build_event", poisoned)
    report = await swept()
    assert (report.answered, report.errors) == (1, 1)
    assert [job_id for _, _, job_id in events(consumer)] == ["take-2"]
    assert len(queues.drain(queues.dead)) == 2


async def test_a_consumer_that_is_gone_gets_no_event_of_it(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer(answers=[410])
    fields = job("take-1", consumer.url)
    await store(fields)
    silent(queues, json.dumps(fields))
    report = await swept(SweepOptions(undelivered_older_than_s=3600))
    assert (report.marked, report.answered) == (1, 0)
    assert [kind for _, kind, _ in events(consumer)] == ["analysis.completed"]
    (letter,) = queues.drain(queues.dead)
    assert letter["MessageAttributes"]["error_code"]["StringValue"] == "webhook_gone"
    assert keys() == ["results/take-1.json"]


@pytest.mark.parametrize("answer", [410, 422])
async def test_a_results_queue_that_took_the_result_of_a_letter_hears_of_no_failure(
    queues: Queues,
    open_consumer: Opened,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: pytest.MonkeyPatch,
    answer: int,
) -> None:
    monkeypatch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0, 0.0))
    answers = queues.sqs.create_queue(QueueName="answers")["QueueUrl"]
    clean_environment.setenv("WORKER_RESULT_QUEUE_URL", answers)
    consumer = await open_consumer(answers=[answer] * 4)
    fields = job("take-1", consumer.url)
    await store(fields)
    silent(queues, json.dumps(fields))
    report = await swept(SweepOptions(undelivered_older_than_s=3600))
    assert report.marked == 1
    told = {kind for _, kind, _ in events(consumer)}
    assert told == {"analysis.completed"} | ({"analysis.failed"} if answer == 422 else set())
    kinds = [
        message["MessageAttributes"]["event_type"]["StringValue"]
        for message in queues.drain(answers)
    ]
    assert kinds == ["analysis.completed"]


async def test_a_consumer_that_was_gone_for_one_event_is_asked_for_no_other(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0,))
    consumer = await open_consumer(answers=[410])
    await store(job("take-1", consumer.url))
    silent(queues, json.dumps({**job("take-1", consumer.url), "text": "Another line."}))
    report = await swept()
    assert (report.marked, report.resent, report.given_up) == (1, 0, 0)
    assert [kind for _, kind, _ in events(consumer)] == ["analysis.failed"]
    assert keys() == ["results/take-1.json"]


async def test_a_consumer_that_is_gone_takes_no_result_from_another(
    queues: Queues, open_consumer: Opened
) -> None:
    gone, well = await open_consumer(answers=[410]), await open_consumer()
    event = await store(job("take-1", well.url))
    silent(queues, json.dumps({**job("take-1", gone.url), "text": "Another line."}))
    report = await swept()
    assert (report.marked, report.resent) == (1, 1)
    assert events(well) == [(event.event_id, "analysis.completed", "take-1")]


# --- results that nobody has taken


async def test_an_undelivered_result_is_sent_again(queues: Queues, open_consumer: Opened) -> None:
    consumer = await open_consumer()
    event = await store(job("take-1", consumer.url))
    assert (await swept()).resent == 1
    assert (await swept()).resent == 0
    assert events(consumer) == [(event.event_id, "analysis.completed", "take-1")]
    assert sorted(keys()) == ["results/delivered/take-1.json", "results/take-1.json"]


async def test_a_young_result_is_left_to_its_worker(queues: Queues, open_consumer: Opened) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url))
    assert (await swept(SweepOptions(undelivered_older_than_s=3600))).resent == 0
    assert consumer.received == []


async def test_two_sweeps_side_by_side_send_each_result_once(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    for number in range(6):
        await store(job(f"take-{number}", consumer.url))
    first, second = await asyncio.gather(swept(), swept())
    assert first.resent + second.resent == 6
    assert len(events(consumer)) == 6


async def test_a_claim_of_a_dead_sweep_is_taken_over(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url))
    claim = "results/sweeping/take-1.json"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=claim, Body=b"{}")
    assert (await swept()).resent == 0
    monkeypatch.setattr(undelivered, "CLAIM_S", -1)
    assert (await swept()).resent == 1
    assert claim not in keys()


async def test_a_result_that_is_refused_for_good_is_given_up(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer(answers=[410])
    await store(job("take-1", consumer.url))
    assert (await swept()).given_up == 1
    assert (await swept()).given_up == 0
    assert keys() == ["results/take-1.json"]


async def test_a_result_whose_consumer_is_down_waits_for_the_next_sweep(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.webhook.ATTEMPT_TIMES_S", (0.0,))
    consumer = await open_consumer(answers=[503, 200])
    await store(job("take-1", consumer.url))
    assert (await swept()).later == 1
    assert (await swept()).resent == 1


async def test_a_note_that_breaks_off_while_it_is_read_stops_no_other(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    for name in ("take-1", "take-2"):
        await store(job(name, consumer.url))
    whole = StreamingBody.read

    async def broken(body: StreamingBody, amt: int | None = None) -> bytes:
        data = await whole(body, amt)
        broken_off.append(data)
        if len(broken_off) == 1:
            raise ClientPayloadError("Response payload is not completed")
        return data

    broken_off: list[bytes] = []
    monkeypatch.setattr(StreamingBody, "read", broken)
    report = await swept()
    assert (report.later, report.resent) == (1, 1)


async def test_a_result_that_nobody_foresaw_stops_no_other(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    for name in ("take-1", "take-2"):
        await store(job(name, consumer.url))
    poison = consumer.url + "?poison"
    boto3.client("s3").put_object(
        Bucket=BUCKET,
        Key="results/undelivered/take-1.json",
        Body=orjson.dumps({"webhook_url": poison}),
    )
    deliver = WebhookSender.deliver

    async def poisoned(sender: WebhookSender, url: str, event: Event, **rest: Any) -> None:
        if url == poison:
            raise OverflowError("Python int too large to convert to C int")
        await deliver(sender, url, event, **rest)

    monkeypatch.setattr(WebhookSender, "deliver", poisoned)
    report = await swept()
    assert (report.resent, report.errors) == (1, 1)
    assert [job_id for _, _, job_id in events(consumer)] == ["take-2"]
    assert "results/sweeping/take-1.json" not in keys()


async def test_a_note_without_a_result_is_removed(queues: Queues) -> None:
    boto3.client("s3").put_object(
        Bucket=BUCKET, Key="results/undelivered/take-1.json", Body=b'{"webhook_url": null}'
    )
    await swept()
    assert keys() == []


# --- objects past their age


async def test_old_results_go_and_undelivered_ones_stay(
    queues: Queues, open_consumer: Opened
) -> None:
    consumer = await open_consumer()
    await store(job("told", consumer.url), delivered=True)
    await store(job("untold", consumer.url))
    hour = SweepOptions(undelivered_older_than_s=3600, results_older_than_s=3600)
    assert (await swept(hour)).expired == 0
    assert (await swept(replace(hour, results_older_than_s=-1))).expired == 2
    assert keys() == ["results/undelivered/untold.json", "results/untold.json"]


async def test_old_uploads_go_by_prefix(queues: Queues) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="uploads")
    for key in ("takes/a b.wav", "takes/한국어.wav", "keep/c.wav"):
        s3.put_object(Bucket="uploads", Key=key, Body=b"x")
    options = replace(AT_ONCE, uploads=S3Location("uploads", "takes/"), uploads_older_than_s=-1)
    assert (await swept(options)).expired == 2
    left = s3.list_objects_v2(Bucket="uploads")["Contents"]
    assert [item["Key"] for item in left] == ["keep/c.wav"]


async def test_more_objects_than_one_page_holds_are_all_deleted(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = boto3.client("s3")
    for number in range(25):
        s3.put_object(Bucket=BUCKET, Key=f"results/{number}.json", Body=b"{}")
    from worker import expiry

    monkeypatch.setattr(expiry, "DELETE_BATCH", 10)
    assert (await swept(replace(AT_ONCE, results_older_than_s=-1))).expired == 25
    assert keys() == []


# --- all together


async def test_one_repair_that_fails_does_not_stop_the_next(
    queues: Queues, open_consumer: Opened, clean_environment: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url))
    clean_environment.setenv("WORKER_QUEUE_URL", queues.main + "-absent")
    report = await swept()
    assert report.errors == 1
    assert report.resent == 1


async def test_a_queue_that_cannot_be_read_leaves_the_letters_of_the_next_to_be_answered(
    queues: Queues, open_consumer: Opened, clean_environment: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    silent(queues, json.dumps(job("take-1", consumer.url)))
    clean_environment.setenv("WORKER_QUEUE_URL", f"{queues.main}-absent,{queues.main}")
    report = await swept()
    assert (report.errors, report.answered) == (1, 1)


async def test_a_repair_that_fails_as_nobody_foresaw_does_not_stop_the_next(
    queues: Queues, open_consumer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await open_consumer()
    await store(job("take-1", consumer.url))

    async def broken(*_: Any, **__: Any) -> None:
        raise TypeError("a fault of ours")

    monkeypatch.setattr("worker.silent_letters.SilentLetters.answer_all", broken)
    report = await swept()
    assert (report.errors, report.resent) == (1, 1)


def test_the_command_says_what_it_did(queues: Queues) -> None:
    result = CliRunner().invoke(app, ["sweep"])
    assert result.exit_code == 0
    assert result.stdout.startswith("0 answered, 0 marked,")
    assert json.loads(CliRunner().invoke(app, ["sweep", "--json"]).stdout) == (
        SweepReport().as_dict()
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--uploads", "s3://uploads/takes/"], "go together"),
        (["--uploads", "s3://uploads", "--uploads-older-than", "90d"], "--uploads"),
    ],
)
def test_the_command_deletes_no_whole_bucket_by_mistake(
    queues: Queues, arguments: list[str], word: str
) -> None:
    result = CliRunner().invoke(app, ["sweep", *arguments])
    assert result.exit_code == 2
    assert word in result.stderr
