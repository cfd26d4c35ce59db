"""`dlq redrive`: back to work, each where it came from, and none lost."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.worker.deadletters.command import run
from tests.worker.queues import Queues, make_queues, text
from worker.aws import open_clients
from worker.deadletter_attributes import size_of
from worker.deadletters import DeadLetter, Sieve, Walk
from worker.quotas import MAX_MESSAGE_BYTES
from worker.redrive import HISTORY, LANES, MAX_REFUSALS, Redrive, entry_of


def test_a_redrive_moves_everything_back_to_its_source(queues: Queues) -> None:
    queues.bury_many(23)
    result = run("redrive")
    assert result.exit_code == 0, result.output
    assert "23 redriven, 0 left as they are." in result.stdout
    assert len(queues.bodies(queues.main)) == 23
    assert queues.bodies(queues.dead) == []


def test_a_redriven_message_keeps_its_own_attributes_and_its_history(queues: Queues) -> None:
    past = json.dumps([{"code": "timeout", "receive_count": 3}])
    queues.bury("take-1", "not_found", traceparent="00-x", **{HISTORY: past})
    run("redrive")
    (message,) = queues.drain(queues.main)
    values = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    history = json.loads(values.pop(HISTORY))
    assert values == {"job_type": "audio_analysis", "traceparent": "00-x"}
    assert history == [
        {"code": "timeout", "receive_count": 3},
        {
            "code": "not_found",
            "receive_count": 5,
            "failed_at": "2026-01-01T00:00:00Z",
            "original_message_id": "orig-take-1",
        },
    ]


def test_of_ten_attributes_the_one_that_nobody_reads_makes_room_for_the_history(
    queues: Queues,
) -> None:
    attributes = {f"a{n}": text("x") for n in range(9)} | {"job_type": text("other_kind")}
    queues.sqs.send_message(
        QueueUrl=queues.dead,
        MessageBody='{"job_id": "a"}',
        MessageAttributes=attributes,  # type: ignore[arg-type]
    )
    run("redrive")
    (message,) = queues.drain(queues.main)
    assert sorted(message["MessageAttributes"]) == [
        *(f"a{n}" for n in range(8)),
        "job_type",
        HISTORY,
    ]


def test_a_letter_with_no_room_for_its_history_goes_without(queues: Queues) -> None:
    queues.bury_many(3)
    body = '{"job_id": "large", "junk": ""}'
    body = body[:-2] + "x" * (MAX_MESSAGE_BYTES - len(body)) + body[-2:]
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody=body)
    result = run("redrive")
    assert result.exit_code == 0, result.output
    sent = {json.loads(message["Body"])["job_id"]: message for message in queues.drain(queues.main)}
    assert sorted(sent) == ["large", "take-0", "take-1", "take-2"]
    assert sent["large"]["Body"] == body
    assert "MessageAttributes" not in sent["large"]


@pytest.mark.parametrize(("room", "lives"), [(2000, 5), (300, 2), (200, 1), (50, 0)])
def test_a_history_is_as_long_as_there_is_room(room: int, lives: int) -> None:
    past = [{"code": "timeout", "receive_count": n, "original_message_id": "m" * 36} for n in "123"]
    own = {"job_type": text("audio_analysis"), HISTORY: text(json.dumps(past + past))}
    body = "x" * (MAX_MESSAGE_BYTES - size_of({"job_type": text("audio_analysis")}) - room)
    attributes = entry_of(DeadLetter("id", "handle", body, own, 0.0, 1), "jobs")[
        "MessageAttributes"
    ]
    assert len(body) + size_of(attributes) <= MAX_MESSAGE_BYTES
    assert attributes["job_type"] == text("audio_analysis")
    history = json.loads(attributes[HISTORY]["StringValue"]) if HISTORY in attributes else []
    assert len(history) == lives
    if lives:
        assert history[-1]["original_message_id"] == "id"


def test_a_redrive_by_filter_leaves_the_others_visible(queues: Queues) -> None:
    queues.bury("a", "not_found")
    queues.bury("b", "timeout")
    result = run("redrive", "--code", "timeout")
    assert "1 redriven, 1 left as they are." in result.stdout
    assert queues.bodies(queues.main) == ["b"]
    assert queues.bodies(queues.dead) == ["a"]


def test_a_redrive_by_id(queues: Queues) -> None:
    first = queues.bury("a")
    queues.bury("b")
    queues.bury("c")
    run("redrive", first, "c")
    assert queues.bodies(queues.main) == ["a", "c"]
    assert queues.bodies(queues.dead) == ["b"]


def test_a_redrive_stops_at_its_limit(queues: Queues) -> None:
    queues.bury_many(25)
    run("redrive", "--limit", "12")
    assert len(queues.bodies(queues.main)) == 12
    assert len(queues.bodies(queues.dead)) == 13


def test_a_redrive_to_another_queue(queues: Queues) -> None:
    other = queues.sqs.create_queue(QueueName="slow")["QueueUrl"]
    queues.bury("a")
    assert run("redrive", "--to", "slow").exit_code == 0
    assert queues.bodies(other) == ["a"]
    assert queues.bodies(queues.main) == []


def test_each_message_goes_back_to_the_queue_it_came_from(
    queues: Queues, clean_environment: pytest.MonkeyPatch
) -> None:
    other = queues.sqs.create_queue(QueueName="urgent")["QueueUrl"]
    clean_environment.setenv("WORKER_QUEUE_URL", f"{other},{queues.main}")
    queues.bury("a")
    queues.bury("b", source_queue="urgent")
    run("redrive")
    assert queues.bodies(queues.main) == ["a"]
    assert queues.bodies(other) == ["b"]


def test_a_dry_run_sends_nothing_and_says_what_it_would(queues: Queues) -> None:
    queues.bury("a", "not_found")
    queues.bury("b", "timeout")
    result = run("redrive", "--dry-run")
    assert "2 would be redriven" in result.stdout
    assert "1 not_found" in result.stdout
    assert queues.bodies(queues.main) == []
    assert queues.bodies(queues.dead) == ["a", "b"]


def test_a_redrive_keeps_its_rate(queues: Queues) -> None:
    queues.bury_many(6)
    started = time.monotonic()
    run("redrive", "--rate", "4")
    assert time.monotonic() - started >= 5 / 4


def test_a_redrive_to_a_queue_that_is_not_there_loses_nothing(queues: Queues) -> None:
    queues.bury("a")
    result = run("redrive", "--to", "nowhere")
    assert result.exit_code == 1
    assert "GetQueueUrl failed" in result.stderr
    assert "analysis-worker check" in result.stderr
    assert queues.bodies(queues.dead) == ["a"]


class Interrupted(Exception):
    """Stands for a kill between two calls."""


async def test_an_interruption_repeats_and_never_loses(queues: Queues) -> None:
    queues.bury_many(30)
    calls = 0

    async with open_clients() as clients:

        async def dies_at_the_second_batch(**request: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise Interrupted
            return await clients.sqs.__class__.delete_message_batch(clients.sqs, **request)

        walk = Walk(clients.sqs, queues.dead)

        async def main_queue(_: object) -> str:
            return queues.main

        clients.sqs.delete_message_batch = dies_at_the_second_batch  # type: ignore[method-assign]
        with pytest.raises(ExceptionGroup):
            async with walk:
                await Redrive(clients.sqs, walk, Sieve(), destination=main_queue).run()
    sent, still_dead = queues.bodies(queues.main), queues.bodies(queues.dead)
    assert set(sent) | set(still_dead) == {f"take-{number}" for number in range(30)}
    assert set(sent) & set(still_dead), "the batch whose deletion failed is in both"


async def test_a_job_that_fails_again_at_once_is_not_redriven_for_ever(queues: Queues) -> None:
    queues.bury("a")

    async def refuses_all_jobs(letter: Any) -> str:
        # A worker takes the job as soon as it is sent, and buries it again.
        asyncio.get_running_loop().call_later(0.2, queues.bury, "a")
        return queues.main

    async with open_clients() as clients, Walk(clients.sqs, queues.dead, wait_s=2) as walk:
        walk.now = time.time()
        tally = await Redrive(clients.sqs, walk, Sieve(), destination=refuses_all_jobs).run()
    assert tally.done == 1
    assert queues.bodies(queues.dead) == ["a"]


def test_a_fifo_queue_keeps_groups_when_redriven(
    moto_endpoint: str, clean_environment: pytest.MonkeyPatch
) -> None:
    queues = make_queues(boto3.client("sqs"), ".fifo")
    clean_environment.setenv("WORKER_QUEUE_URL", queues.main)
    for number in range(3):
        queues.bury(f"take-{number}", source_queue="jobs.fifo")
    assert run("redrive").exit_code == 0
    groups = {
        json.loads(message["Body"])["job_id"]: message["Attributes"]["MessageGroupId"]
        for message in queues.drain(queues.main)
    }
    assert groups == {f"take-{n}": f"take-{n}" for n in range(3)}


class EndlessQueue:
    """SQS's answers for a queue too large for memory: bodies are made when they are received."""

    def __init__(self, count: int, body: str) -> None:
        self.left = count
        self.body = body
        self.sent = self.deleted = self.released = 0

    async def get_queue_attributes(self, **_: Any) -> Any:
        depth = {"ApproximateNumberOfMessages": str(self.left)}
        return {"Attributes": depth, "ResponseMetadata": {"HTTPHeaders": {}}}

    async def receive_message(self, **_: Any) -> Any:
        taken = min(10, self.left)
        self.left -= taken
        return {
            "Messages": [
                {
                    "MessageId": f"message-{self.left + n}",
                    "ReceiptHandle": f"handle-{self.left + n}" + "x" * 200,
                    "Body": self.body + str(n),
                    "Attributes": {"SentTimestamp": "0"},
                }
                for n in range(taken)
            ]
        }

    async def send_message_batch(self, *, Entries: list[Any], **_: Any) -> Any:  # noqa: N803
        self.sent += len(Entries)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    async def delete_message_batch(self, *, Entries: list[Any], **_: Any) -> Any:  # noqa: N803
        self.deleted += len(Entries)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    async def change_message_visibility_batch(self, *, Entries: list[Any], **_: Any) -> Any:  # noqa: N803
        self.released += len(Entries)
        return {}


def too_long(entries: list[Any]) -> ClientError:
    block: Any = {
        "Code": "AWS.SimpleQueueService.BatchRequestTooLong",
        "Message": str(len(entries)),
    }
    return ClientError({"Error": block}, "SendMessageBatch")


class Refusing(EndlessQueue):
    """Refuses as a whole every batch with one of these letters in it; deletes take their time."""

    def __init__(self, count: int, *refused: int) -> None:
        super().__init__(count, "body")
        self.refused = {f"message-{number}" for number in refused}
        self.tries = 0

    async def send_message_batch(self, *, Entries: list[Any], **options: Any) -> Any:  # noqa: N803
        self.tries += 1
        await asyncio.sleep(0)
        if self.refused & {entry["MessageDeduplicationId"] for entry in Entries}:
            raise too_long(Entries)
        return await super().send_message_batch(Entries=Entries, **options)

    async def delete_message_batch(self, **request: Any) -> Any:
        await asyncio.sleep(0.01)
        return await super().delete_message_batch(**request)


async def redriven(sqs: Any, destination: Any = None) -> tuple[Redrive, Exception | None]:
    async def anywhere(_: object) -> str:
        return "http://127.0.0.1/1/jobs.fifo"

    async with Walk(sqs, "http://127.0.0.1/1/jobs-dlq.fifo") as walk:
        moving = Redrive(sqs, walk, Sieve(), destination=destination or anywhere)
        try:
            await moving.run()
        except ExceptionGroup as group:
            return moving, group
    return moving, None


async def test_a_batch_that_is_refused_as_a_whole_stays_and_stops_no_other() -> None:
    sqs = Refusing(100, 42)
    moving, error = await redriven(sqs)
    assert error is None
    assert (moving.tally.done, moving.tally.failed) == (90, 10)
    assert sqs.sent == sqs.deleted == 90
    assert sqs.released == 10
    assert list(moving.tally.reasons) == ["AWS.SimpleQueueService.BatchRequestTooLong: 10"]


async def test_a_queue_that_refuses_every_batch_is_not_read_to_its_end() -> None:
    sqs = Refusing(1000, *range(1000))
    moving, error = await redriven(sqs)
    assert error is None
    assert sqs.sent == sqs.deleted == 0
    assert MAX_REFUSALS <= sqs.tries <= MAX_REFUSALS + LANES
    assert moving.tally.failed == sqs.released == sqs.tries * 10


async def test_an_error_in_one_lane_lets_the_others_delete_what_they_have_sent() -> None:
    sqs = Refusing(100)

    async def not_for_one(letter: DeadLetter) -> str:
        if letter.message_id == "message-55":
            await asyncio.sleep(0)
            raise ConnectionResetError
        return "http://127.0.0.1/1/jobs.fifo"

    moving, error = await redriven(sqs, not_for_one)
    assert isinstance(error, ExceptionGroup)
    assert 0 < sqs.sent == sqs.deleted == moving.tally.done < 100
    assert moving.tally.doubled == 0


def test_a_redrive_that_ends_early_says_what_it_has_done(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.bury_many(10)

    async def refused(_walk: Walk, _letters: object) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteMessageBatch")

    monkeypatch.setattr(Walk, "delete", refused)
    result = run("redrive")
    assert result.exit_code == 1
    assert "10 were sent and could not be deleted: they are in both queues." in result.stdout
    assert "DeleteMessageBatch failed: AccessDenied" in result.stderr


@pytest.mark.parametrize("sieve", [Sieve(), Sieve(text="not in there")], ids=["all", "none"])
async def test_a_queue_larger_than_memory_is_redriven_in_little(sieve: Sieve) -> None:
    count, body_bytes = 5_000, 20_000
    endless = EndlessQueue(count, "y" * body_bytes)

    async def anywhere(_: object) -> str:
        return "http://127.0.0.1/1/jobs"

    tracemalloc.start()
    try:
        async with Walk(endless, "http://127.0.0.1/1/jobs-dlq") as walk:  # type: ignore[arg-type]
            await Redrive(endless, walk, sieve, destination=anywhere).run()  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert endless.sent + endless.released == count
    assert endless.sent == endless.deleted
    # By itself it is a hundredth; moto's threads in this process may take some megabytes meanwhile.
    assert peak < count * body_bytes / 5
