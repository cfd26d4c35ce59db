"""The SQS calls, against moto: what is asked, what is read, and every entry of a reply checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from worker import batching
from worker.aws import open_clients
from worker.batching import EntryError
from worker.contract import Addressee, EventType, build_event
from worker.metrics import PREFIX, Metrics
from worker.queue import Message, Queue, QueueError, ResultQueue
from worker.redrive_policy import RedrivePolicy


@pytest_asyncio.fixture
async def sqs(moto_endpoint: str) -> AsyncIterator[Any]:
    async with open_clients(wait_time_s=0) as clients:
        yield clients.sqs


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


async def make(sqs: Any, metrics: Metrics, *, fifo: bool = False) -> Queue:
    suffix, options = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
    dead = (await sqs.create_queue(QueueName=f"dead{suffix}", Attributes=options))["QueueUrl"]
    found = await sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": found["Attributes"]["QueueArn"], "maxReceiveCount": 4}
    url = (
        await sqs.create_queue(
            QueueName=f"jobs{suffix}", Attributes={**options, "RedrivePolicy": json.dumps(policy)}
        )
    )["QueueUrl"]
    return await Queue.open(sqs, url, metrics)


async def take(queue: Queue, limit: int = 10) -> list[Message]:
    return await queue.receive(limit, wait_s=0, visibility_s=30)


async def test_the_queues_own_policy_says_how_often_and_where_to(
    sqs: Any, metrics: Metrics
) -> None:
    queue = await make(sqs, metrics)
    assert queue.name == "jobs"
    assert queue.max_receive_count == 4
    assert queue.dead_letter_url is not None
    assert queue.dead_letter_url.endswith("/dead")
    plain = (await sqs.create_queue(QueueName="plain"))["QueueUrl"]
    bare = await Queue.open(sqs, plain, metrics)
    assert bare.max_receive_count is None
    with pytest.raises(QueueError, match="plain"):
        await bare.send_dead_letter(Message("m", "r", "b", bare), {})


async def test_the_dead_letter_queues_url_is_the_one_that_sqs_gives(
    sqs: Any, metrics: Metrics
) -> None:
    for fifo in (False, True):
        queue = await make(sqs, metrics, fifo=fifo)
        name = "dead.fifo" if fifo else "dead"
        assert queue.dead_letter_url == (await sqs.get_queue_url(QueueName=name))["QueueUrl"]


async def test_where_its_own_url_does_not_say_it_sqs_is_asked(
    sqs: Any, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedrivePolicy, "dead_letter_url_beside", lambda policy, url: None)
    queue = await make(sqs, metrics)
    assert queue.dead_letter_url == (await sqs.get_queue_url(QueueName="dead"))["QueueUrl"]


async def test_a_message_comes_with_all_that_is_known_of_it(sqs: Any, metrics: Metrics) -> None:
    queue = await make(sqs, metrics)
    await sqs.send_message(
        QueueUrl=queue.url,
        MessageBody="한",
        MessageAttributes={
            "job_type": {"DataType": "String", "StringValue": "t"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\xff"},
        },
    )
    (message,) = await take(queue)
    assert message.body == "한"
    assert message.receive_count == 1
    assert message.attributes == {"job_type": "t"}
    assert set(message.raw_attributes) == {"job_type", "raw"}
    assert message.sent_at is not None
    assert message.sent_at > 1_600_000_000
    await queue.back_off(message, 0)
    ((again),) = await take(queue)
    assert again.message_id == message.message_id
    assert again.receive_count == 2


async def test_deletes_made_together_share_a_call(sqs: Any, metrics: Metrics) -> None:
    queue = await make(sqs, metrics)
    for i in range(10):
        await sqs.send_message(QueueUrl=queue.url, MessageBody=str(i))
    messages = await take(queue)
    await asyncio.gather(*(queue.delete(message) for message in messages))
    assert await queue.depth() == 0
    labels = {"operation": "DeleteMessageBatch", "result": "ok"}
    calls = metrics.registry.get_sample_value(f"{PREFIX}_sqs_calls_total", labels)
    assert calls == 1


async def test_a_refused_entry_of_a_batch_is_an_error_of_its_own(
    sqs: Any, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "RETRY_PAUSE_S", 0.0)
    queue = await make(sqs, metrics)
    for body in ("good", "bad"):
        await sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    messages = {m.body: m for m in await take(queue)}

    class OneRefused:
        async def delete_message_batch(self, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
            bad = [e for e in Entries if e["ReceiptHandle"] == messages["bad"].receipt_handle]
            return {
                "Successful": [{"Id": e["Id"]} for e in Entries if e not in bad],
                "Failed": [{"Id": e["Id"], "Code": "ReceiptHandleIsInvalid"} for e in bad],
            }

    refusing = Queue(OneRefused(), queue.url, metrics)  # type: ignore[arg-type]
    answers = await asyncio.gather(
        *(refusing.delete(messages[body]) for body in ("good", "bad")), return_exceptions=True
    )
    assert answers[0] is None
    assert isinstance(answers[1], EntryError)
    assert "ReceiptHandleIsInvalid" in str(answers[1])


async def test_an_entry_that_a_reply_leaves_out_has_failed(sqs: Any, metrics: Metrics) -> None:
    class Forgetful:
        async def change_message_visibility_batch(self, **_: Any) -> Any:
            return {"Successful": [{"Id": "0"}], "Failed": [{"Id": "2", "Code": "x"}]}

    queue = Queue(Forgetful(), "https://sqs.test/1/jobs", metrics)  # type: ignore[arg-type]
    messages = [Message(str(i), "r", "", queue) for i in range(3)]
    assert await queue.extend(messages, [60, 60, 60]) == [True, False, False]


async def test_a_dead_letter_of_a_fifo_queue_keeps_its_group(sqs: Any, metrics: Metrics) -> None:
    queue = await make(sqs, metrics, fifo=True)
    assert queue.is_fifo
    await sqs.send_message(
        QueueUrl=queue.url, MessageBody="b", MessageGroupId="g", MessageDeduplicationId="d"
    )
    (message,) = await take(queue, 1)
    assert message.group_id == "g"
    for _ in range(2):  # a copy made twice is one dead letter: its id is the message's
        await queue.send_dead_letter(
            message, {"error_code": {"DataType": "String", "StringValue": "x"}}
        )
    reply = await sqs.receive_message(
        QueueUrl=queue.dead_letter_url,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    (letter,) = reply["Messages"]
    assert letter["Attributes"]["MessageGroupId"] == "g"
    assert letter["Attributes"]["MessageDeduplicationId"] == message.message_id
    assert letter["MessageAttributes"]["error_code"]["StringValue"] == "x"


async def test_a_result_goes_out_under_its_events_id(sqs: Any, metrics: Metrics) -> None:
    url = (await sqs.create_queue(QueueName="answers.fifo", Attributes={"FifoQueue": "true"}))[
        "QueueUrl"
    ]
    answers = ResultQueue(sqs, url, metrics)
    for _ in range(2):
        await answers.send("{}", event_id="evt_1", event_type="analysis.completed", job_id="j")
    reply = await sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )
    (message,) = reply["Messages"]
    assert message["MessageAttributes"]["webhook-id"]["StringValue"] == "evt_1"
    assert message["Attributes"]["MessageGroupId"] == "j"


async def test_a_result_whose_metadata_hold_what_sqs_refuses_arrives_all_the_same(
    sqs: Any, metrics: Metrics
) -> None:
    url = (await sqs.create_queue(QueueName="results"))["QueueUrl"]
    event = build_event(
        EventType.COMPLETED,
        Addressee("take-1", metadata={"a\ufffe": "\uffff\\uffff 한🎤"}),
        attempt=1,
        progress=100,
        message="Scored.",
        result=b"{}",
    )
    await ResultQueue(sqs, url, metrics).send(
        event.body.decode(), event_id=event.event_id, event_type=event.type, job_id="take-1"
    )
    (message,) = (await sqs.receive_message(QueueUrl=url))["Messages"]
    assert not {"\ufffe", "\uffff"} & set(message["Body"])
    assert json.loads(message["Body"]) == json.loads(event.body)
