"""Dead letters that SQS moved itself: each is answered once, or marked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.worker.queues import Queues
from tests.worker.sweep.sweeping import (
    Opened,
    events,
    job,
    keys,
    silent,
    store,
    swept,
)
from worker.contract import Addressee, Event, EventType, build_event, event_id_of
from worker.sweep import SweepOptions
from worker.sweep_report import SweepReport


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
