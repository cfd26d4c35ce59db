from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession, get_session
from typer.testing import CliRunner, Result

from tests.worker.queues import Queues, make_queues, text
from worker import aws, deadletters
from worker.aws import open_clients
from worker.cli import app
from worker.commands.options import Age, age_text
from worker.deadletter_attributes import attributes_of
from worker.deadletters import REASONS, Sieve, Walk
from worker.failures import ErrorCode, JobFailure
from worker.metrics import Metrics
from worker.queue import Message, Queue
from worker.redrive import HISTORY, Redrive

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def session() -> AioSession:
    """One for all tests here: to read botocore's models anew takes longer than most of them."""
    return get_session()


@pytest.fixture(autouse=True)
def _shared_session(monkeypatch: pytest.MonkeyPatch, session: AioSession) -> None:
    monkeypatch.setattr(aws, "get_session", lambda: session)


@pytest.fixture(autouse=True)
def _moto_hides_nothing_from_a_short_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "WAIT_S", 0)
    monkeypatch.setattr(deadletters, "STALE_POLLS", 3)


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    clean_environment.setenv("WORKER_QUEUE_URL", made.main)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dlq", *arguments])


def listed(*arguments: str) -> list[dict[str, Any]]:
    result = run("list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def jobs(fields: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(item["job_id"] for item in fields)


# --- list


def test_a_list_shows_code_stage_age_tries_and_whether_the_consumer_was_told(
    queues: Queues,
) -> None:
    queues.bury("take-1")
    result = run("list")
    assert result.exit_code == 0
    heading, row = result.stdout.splitlines()
    assert heading.split() == ["AGE", "CODE", "STAGE", "TRIES", "TOLD", "JOB", "MESSAGE"]
    assert row.split()[2:7] == ["not_found", "fetch", "5", "yes", "take-1"]
    assert "1 shown, 1 read, of about 1" in result.stderr


def test_what_a_list_read_is_visible_again(queues: Queues) -> None:
    queues.bury_many(25)
    assert len(listed()) == 25
    assert len(queues.bodies(queues.dead)) == 25


def test_a_list_stops_at_its_limit_and_releases_what_it_read(queues: Queues) -> None:
    queues.bury_many(25)
    assert len(listed("--limit", "12")) == 12
    assert len(queues.bodies(queues.dead)) == 25


def test_a_list_is_sorted_as_asked(queues: Queues) -> None:
    queues.bury("old", "timeout", failed_at="2026-01-01T00:00:00Z", receive_count="3")
    queues.bury("new", "audio_invalid", failed_at="2026-02-01T00:00:00Z", receive_count="1")
    assert [item["job_id"] for item in listed()] == ["new", "old"]
    assert [item["code"] for item in listed("--sort", "code")] == ["audio_invalid", "timeout"]
    assert [item["receive_count"] for item in listed("--sort", "receives")] == [3, 1]
    assert run("list", "--sort", "colour").exit_code == 2


def test_a_list_can_be_filtered_by_code_cause_text_and_age(queues: Queues) -> None:
    hour_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    queues.bury("a", "not_found")
    queues.bury("b", "retries_exhausted", error_cause="timeout", failed_at=hour_ago)
    queues.bury("c", None)
    assert jobs(listed("--code", "not_found")) == ["a"]
    assert jobs(listed("--code", "timeout")) == ["b"]
    assert jobs(listed("--code", "none")) == ["c"]
    assert jobs(listed("--code", "not_found", "--code", "timeout")) == ["a", "b"]
    assert jobs(listed("--text", "UPLOADS/A")) == ["a"]
    assert jobs(listed("--older-than", "30m")) == ["a", "b"]
    assert jobs(listed("--newer-than", "2h")) == ["b", "c"]
    assert jobs(listed("--newer-than", "30m")) == ["c"]


def test_what_sqs_moved_itself_is_named_so(queues: Queues) -> None:
    queues.bury("take-1", None)
    assert "(moved by SQS)" in run("list").stdout


def test_what_can_not_be_read_is_listed_all_the_same(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody="no JSON")
    (only,) = listed()
    assert only["job_id"] is None
    assert only["told"] is None


# --- show


@pytest.mark.parametrize("name", ["job_id", "message_id", "original_message_id"])
def test_show_finds_a_letter_by_any_of_its_ids(queues: Queues, name: str) -> None:
    queues.bury_many(12)
    message_id = queues.bury("mine")
    ids = {"job_id": "mine", "message_id": message_id, "original_message_id": "orig-mine"}
    result = run("show", ids[name])
    assert result.exit_code == 0
    assert "There is no recording s3://uploads/mine.wav." in result.stdout
    assert "Upload the object before the job is sent" in result.stdout
    assert "search the log for: job_id=mine or original message_id=orig-mine" in result.stdout
    assert '"s3_audio_url": "s3://uploads/mine"' in result.stdout
    assert len(queues.bodies(queues.dead)) == 13


def test_show_as_json_holds_body_and_attributes(queues: Queues) -> None:
    queues.bury("take-1", traceparent="00-x")
    whole = json.loads(run("show", "take-1", "--json").stdout)
    assert whole["body"]["job_id"] == "take-1"
    assert whole["attributes"] == {"job_type": "audio_analysis", "traceparent": "00-x"}


def test_show_says_when_there_is_none(queues: Queues) -> None:
    result = run("show", "take-9")
    assert result.exit_code == 1
    assert "No dead letter has the id 'take-9'" in result.stderr


# --- redrive


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


def test_without_a_dead_letter_queue_there_is_nothing_to_do(
    moto_endpoint: str, clean_environment: pytest.MonkeyPatch
) -> None:
    url = boto3.client("sqs").create_queue(QueueName="bare")["QueueUrl"]
    clean_environment.setenv("WORKER_QUEUE_URL", url)
    result = run("list")
    assert result.exit_code == 1
    assert "no dead-letter queue" in result.stderr


def test_with_several_dead_letter_queues_one_must_be_named(
    queues: Queues, clean_environment: pytest.MonkeyPatch
) -> None:
    fifo = make_queues(queues.sqs, ".fifo")
    clean_environment.setenv("WORKER_QUEUE_URL", f"{queues.main},{fifo.main}")
    queues.bury("a")
    result = run("list")
    assert result.exit_code == 2
    assert "--dlq: jobs-dlq, jobs-dlq.fifo" in result.stderr
    assert jobs(listed("--dlq", "jobs-dlq")) == ["a"]
    assert jobs(listed("--dlq", queues.dead)) == ["a"]
    assert run("list", "--dlq", "other").exit_code == 1


# --- purge


def test_a_purge_by_age_leaves_the_young(queues: Queues) -> None:
    queues.bury("old", failed_at="2026-01-01T00:00:00Z")
    queues.bury("young", None)
    result = run("purge", "--older-than", "7d", "--yes")
    assert "1 deleted, 1 left as they are." in result.stdout
    assert queues.bodies(queues.dead) == ["young"]


def test_a_purge_without_an_age_must_be_meant(queues: Queues) -> None:
    queues.bury("a")
    assert run("purge", "--yes").exit_code == 2
    assert run("purge", "--all", "--yes").exit_code == 0
    assert queues.bodies(queues.dead) == []


def test_a_purge_asks_and_with_nobody_to_ask_does_nothing(queues: Queues) -> None:
    queues.bury("a")
    result = run("purge", "--older-than", "1d")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert queues.bodies(queues.dead) == ["a"]


@pytest.mark.parametrize(("answer", "left"), [("n", ["a"]), ("y", [])])
def test_a_purge_asks_a_person(queues: Queues, answer: str, left: list[str]) -> None:
    queues.bury("a")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "dlq", "purge", "--older-than", "1d"],
        cwd=REPOSITORY,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 1024)
        assert b"older than 1d for good from jobs-dlq" in shown
        os.write(ours, answer.encode() + b"\n")
        process.wait(timeout=30)
    os.close(ours)
    assert queues.bodies(queues.dead) == left


def test_a_dry_purge_deletes_nothing(queues: Queues) -> None:
    queues.bury("a")
    result = run("purge", "--all", "--dry-run")
    assert "1 would be deleted" in result.stdout
    assert queues.bodies(queues.dead) == ["a"]


# --- export and import


def test_what_was_exported_can_be_imported_again(queues: Queues, tmp_path: Path) -> None:
    queues.bury("a", traceparent="00-x")
    queues.bury("b", None)
    queues.sqs.send_message(
        QueueUrl=queues.dead,
        MessageBody='{"job_id": "c", "text": "한국어 \\u2028"}',
        MessageAttributes={"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}},
    )
    file = tmp_path / "dead.jsonl"
    assert run("export", str(file)).exit_code == 0
    before = attributes_by_body(queues.drain(queues.dead))
    assert len(before) == 3
    result = run("import", str(file))
    assert result.exit_code == 0, result.output
    assert "3 imported" in result.stderr
    assert attributes_by_body(queues.drain(queues.dead)) == before


def attributes_by_body(messages: list[Any]) -> dict[str, Any]:
    return {
        message["Body"]: {
            name: (value["DataType"], value.get("StringValue"), value.get("BinaryValue"))
            for name, value in message.get("MessageAttributes", {}).items()
        }
        for message in messages
    }


def test_an_export_goes_to_standard_output_and_leaves_the_queue(queues: Queues) -> None:
    queues.bury_many(12)
    lines = [json.loads(line) for line in run("export").stdout.splitlines()]
    assert len(lines) == 12
    assert set(lines[0]) == {
        *("message_id", "sent_at", "receive_count", "group_id", "attributes", "body"),
    }
    assert len(queues.bodies(queues.dead)) == 12


def test_an_import_with_a_bad_line_sends_nothing(queues: Queues, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    file.write_text('{"body": "{}"}\n{"body": 3}\n')
    result = run("import", str(file))
    assert result.exit_code == 1
    assert "line 2: body" in result.stderr
    assert "Nothing was sent" in result.stderr
    assert queues.drain(queues.dead) == []


def test_an_import_may_go_to_the_main_queue(queues: Queues, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    file.write_text('{"body": "{\\"job_id\\": \\"a\\"}"}\n' * 25)
    assert run("import", str(file), "--to", "jobs").exit_code == 0
    assert queues.bodies(queues.main) == ["a"] * 25


# --- the parts


async def test_a_walk_sees_each_message_once_and_holds_no_bodies(queues: Queues) -> None:
    queues.bury_many(35)
    seen: list[str] = []
    async with open_clients() as clients, Walk(clients.sqs, queues.dead) as walk:
        while letters := await walk.batch():
            seen += [letter.job_id or "" for letter in letters]
            walk.keep(letters)
            assert walk._out == {}
    assert sorted(seen) == sorted(f"take-{number}" for number in range(35))


async def test_a_walk_whose_messages_come_back_under_it_ends(queues: Queues) -> None:
    queues.bury("a")
    async with open_clients() as clients, Walk(clients.sqs, queues.dead, hidden_s=1) as walk:
        letters = await walk.batch()
        walk.keep(letters)
        async with asyncio.timeout(60):
            assert await walk.batch() == []


async def test_a_cancelled_walk_releases_what_it_took(queues: Queues) -> None:
    queues.bury("a")
    reading = asyncio.Event()

    async def walk_until_cancelled() -> None:
        async with open_clients() as clients, Walk(clients.sqs, queues.dead) as walk:
            await walk.batch()
            reading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(walk_until_cancelled())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert queues.bodies(queues.dead) == ["a"]


def test_the_reasons_are_those_that_a_worker_writes() -> None:
    metrics = Metrics()
    queue = Queue(None, "http://h/1/jobs", metrics)  # type: ignore[arg-type]
    message = Message("m", "r", "{}", queue, raw_attributes={"own": text("x")})
    failure = JobFailure(
        ErrorCode.RETRIES_EXHAUSTED, "No attempt is left.", cause=ErrorCode.TIMEOUT
    )
    written = attributes_of(message, failure, event_delivered=True)
    assert written is not None
    assert set(written) - {"own"} == REASONS


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1.5d", 129600), ("4W", 2419200)],
)
def test_ages_are_read_as_people_write_them(written: str, seconds: float) -> None:
    assert Age.parse(written).seconds == seconds


def test_an_age_that_is_none_is_refused(queues: Queues) -> None:
    result = run("list", "--older-than", "soon")
    assert result.exit_code == 2
    assert "is no length of time" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "?"), (-3, "0s"), (42, "42s"), (190, "3m 10s"), (3600, "1h"), (1_051_200, "12d 4h")],
)
def test_ages_are_shown_in_two_units_at_most(seconds: float | None, shown: str) -> None:
    assert age_text(seconds) == shown


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
    assert peak < count * body_bytes / 20
