"""The inbox takes what the worker signs, once, at once, and tells it to whoever follows."""

import asyncio
import base64
import json
import os
import re
import secrets
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import boto3
import pytest

from scripts.inbox import InboxSettings
from scripts.inbox_store import InboxStore
from tests.scripts.inbox_sender import SECRET, Running, Sender

RESULT = {
    "scores": {"overall": 91.5, "pronunciation": 85.0, "timing": 99.0, "pitch": None},
    "words": [{"word": "lantern"}],
}
ANSWER_LIMIT_S = 0.010
EVENT_SIZE_BYTES = 20_000  # a ten-second line
ROOT = Path(__file__).resolve().parents[2]


async def read_stream(
    sender: Sender, path: str, *, last_event_id: int | None = None
) -> list[dict[str, str]]:
    """The events of a stream that the server ends."""
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    async with sender.http.get(f"{sender.url}{path}", headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        text = (await answer.read()).decode()
    return [parse(block) for block in text.split("\n\n") if "data:" in block]


def parse(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in block.splitlines():
        name, _, value = line.partition(": ")
        fields[name] = fields[name] + "\n" + value if name in fields else value
    return fields


async def test_a_signed_event_is_kept_and_can_be_read_back(sender: Sender) -> None:
    await sender.send("progress", "take-1", 10)
    assert (await sender.get("jobs/take-1"))[1]["progress"] == 10
    await sender.send("completed", "take-1", video_id="clip", metadata={"a": 1}, result=RESULT)

    status, job = await sender.get("jobs/take-1")
    assert status == 200
    assert (job["status"], job["progress"], job["video_id"]) == ("completed", 100, "clip")
    assert job["result"] == RESULT
    assert job["scores"] == RESULT["scores"]
    assert job["metadata"] == {"a": 1}
    assert (await sender.get("jobs"))[1]["jobs"][0]["job_id"] == "take-1"


async def test_a_failed_event_shows_its_error(sender: Sender) -> None:
    error = {"code": "not_found", "message": "no such key", "stage": "fetch", "retryable": False}
    await sender.send("failed", "take-1", error=error)
    assert (await sender.get("jobs/take-1"))[1]["error"] == error


async def test_a_job_nobody_wrote_about_is_not_found(sender: Sender) -> None:
    status, text = await sender.get("jobs/none")
    assert status == 404
    assert "none" in text


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param({"webhook-signature": "v1,c3B1cmlvdXM="}, "No matching", id="wrong"),
        pytest.param({"webhook-signature": "nonsense"}, "not accepted", id="malformed"),
        pytest.param({"webhook-signature": "v1,a"}, "not accepted", id="no base64"),
        pytest.param({"webhook-signature": ""}, "Missing", id="absent"),
        pytest.param({"webhook-id": "evt_other"}, "No matching", id="another id"),
        pytest.param({"webhook-timestamp": "soon"}, "Invalid", id="no time"),
    ],
)
async def test_what_is_not_signed_by_the_worker_is_refused(
    sender: Sender, spoil: dict[str, str], reason: str
) -> None:
    body = sender.event("completed", "forged", result=RESULT)
    status, text = await sender.post(body, sender.headers(body) | spoil)
    assert status == 401
    assert reason in text
    assert (await sender.get("jobs/forged"))[0] == 404


async def test_a_changed_body_is_refused(sender: Sender) -> None:
    body = sender.event("completed", "take-1", result=RESULT)
    status, _ = await sender.post(body.replace(b"91.5", b"99.9"), sender.headers(body))
    assert status == 401


async def test_an_old_event_is_refused(sender: Sender) -> None:
    body = sender.event("completed", "take-1", result=RESULT)
    status, text = await sender.post(body, sender.headers(body, age=timedelta(minutes=6)))
    assert status == 401
    assert "too old" in text


async def test_both_keys_are_accepted_while_one_replaces_the_other(
    inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    new = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    stranger = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    settings = replace(inbox_settings, secrets=[new, SECRET])
    async with Running(settings, capsys) as url, aiohttp.ClientSession() as http:
        for secret, wanted in ((SECRET, 204), (new, 204), (stranger, 401)):
            signer = Sender(url, http, secret)
            body = signer.event("progress", "take-1", 10)
            headers = signer.headers(body, f"evt_{wanted}_{secret[-4:-1]}")
            assert (await signer.post(body, headers))[0] == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"hello", 400),
        (b"[]", 422),
        (b'{"type": "analysis.completed"}', 422),
        (b'{"type": "x", "data": {"job_id": "a", "status": "odd", "progress": 1}}', 422),
        (b'"' + b"x" * (1 << 20) + b'"', 413),
    ],
)
async def test_a_signed_body_that_is_no_event_is_refused(
    sender: Sender, body: bytes, wanted: int
) -> None:
    assert (await sender.post(body))[0] == wanted
    assert (await sender.get("jobs"))[1]["jobs"] == []


async def test_a_repeat_is_answered_and_dropped(
    sender: Sender, inbox_settings: InboxSettings
) -> None:
    body = sender.event("completed", "take-1", result=RESULT)
    for _ in range(3):
        assert (await sender.post(body, sender.headers(body, "evt_same")))[0] == 204
    with sqlite3.connect(inbox_settings.database) as file:
        rows = file.execute("SELECT webhook_id, repeats FROM event").fetchall()
    assert rows == [("evt_same", 2)]
    assert len(await read_stream(sender, "jobs/take-1/events")) == 1


async def test_many_repeats_at_once_are_kept_once(
    sender: Sender, inbox_settings: InboxSettings
) -> None:
    bodies = [sender.event("completed", f"take-{n % 20}", result=RESULT) for n in range(100)]
    posts = [
        sender.post(body, sender.headers(body, f"evt_{n % 20}")) for n, body in enumerate(bodies)
    ]
    assert {status for status, _ in await asyncio.gather(*posts)} == {204}
    with sqlite3.connect(inbox_settings.database) as file:
        assert file.execute("SELECT count(*), sum(repeats) FROM event").fetchone() == (20, 80)


async def test_what_comes_late_never_takes_a_job_back(sender: Sender) -> None:
    await sender.send("progress", "take-1", 70)
    await sender.send("progress", "take-1", 40)
    assert (await sender.get("jobs/take-1"))[1]["progress"] == 70
    await sender.send("completed", "take-1", result=RESULT)
    await sender.send("progress", "take-1", 10)
    await sender.send("failed", "take-1", error={"code": "webhook_gone"})
    job = (await sender.get("jobs/take-1"))[1]
    assert (job["status"], job["progress"]) == ("completed", 100)


async def test_a_job_that_failed_and_was_redriven_may_still_complete(sender: Sender) -> None:
    await sender.send("failed", "take-1", error={"code": "retries_exhausted"})
    await sender.send("completed", "take-1", result=RESULT)
    job = (await sender.get("jobs/take-1"))[1]
    assert (job["status"], job["error"]) == ("completed", None)


async def test_a_follower_hears_each_step_as_it_comes_and_the_stream_ends(sender: Sender) -> None:
    await sender.send("progress", "take-1", 10)
    following = asyncio.create_task(read_stream(sender, "jobs/take-1/events"))
    for progress in (40, 70):
        await sender.send("progress", "take-1", progress)
        await sender.send("progress", "take-2", progress)
    await sender.send("completed", "take-1", result=RESULT)

    async with asyncio.timeout(10):
        events = await following
    bodies = [json.loads(event["data"])["data"] for event in events]
    assert [body["progress"] for body in bodies] == [10, 40, 70, 100]
    assert {body["job_id"] for body in bodies} == {"take-1"}
    assert [event["event"] for event in events] == ["analysis.progress"] * 3 + [
        "analysis.completed"
    ]
    assert bodies[-1]["result"] == RESULT


async def test_a_follower_who_reconnects_misses_nothing_and_hears_nothing_twice(
    sender: Sender,
) -> None:
    for progress in (10, 40, 70):
        await sender.send("progress", "take-1", progress)
    await sender.send("completed", "take-1", result=RESULT)
    events = await read_stream(sender, "jobs/take-1/events")
    rest = await read_stream(sender, "jobs/take-1/events", last_event_id=int(events[1]["id"]))
    assert rest == events[2:]


async def test_a_follower_who_has_it_all_is_told_not_to_come_back(sender: Sender) -> None:
    await sender.send("completed", "take-1", result=RESULT)
    last = (await read_stream(sender, "jobs/take-1/events"))[-1]["id"]
    url, headers = f"{sender.url}jobs/take-1/events", {"Last-Event-ID": last}
    async with sender.http.get(url, headers=headers) as answer:
        assert answer.status == 204


async def test_a_body_of_several_lines_goes_through_the_stream_whole(sender: Sender) -> None:
    body = json.dumps(json.loads(sender.event("completed", "take-1", result=RESULT)), indent=2)
    assert (await sender.post(body.encode()))[0] == 204
    assert (await read_stream(sender, "jobs/take-1/events"))[0]["data"] == body


async def test_a_position_that_is_no_number_is_refused(sender: Sender) -> None:
    async with sender.http.get(f"{sender.url}events", headers={"Last-Event-ID": "²"}) as answer:
        assert answer.status == 400


async def test_the_stream_of_all_jobs_tells_each_change(sender: Sender) -> None:
    async with sender.http.get(f"{sender.url}events") as answer:
        for job_id in ("take-1", "take-2"):
            await sender.send("progress", job_id, 10)
        await sender.send("completed", "take-1", result=RESULT)
        heard: dict[str, str] = {}
        async with asyncio.timeout(10):
            while heard.get("take-1") != "completed" or "take-2" not in heard:
                line = (await answer.content.readline()).decode()
                if line.startswith("data: "):
                    job = json.loads(line.removeprefix("data: "))
                    heard[job["job_id"]] = job["status"]
    assert heard == {"take-1": "completed", "take-2": "processing"}


async def test_an_open_stream_does_not_hold_up_the_end(
    inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with aiohttp.ClientSession() as http:
        async with Running(inbox_settings, capsys) as url:
            answer = await http.get(f"{url}events")
            await answer.content.readline()
            began = time.monotonic()
        assert time.monotonic() - began < 1.5
        async with asyncio.timeout(5):
            await answer.read()


@pytest.mark.parametrize("sync", [False, True])
async def test_events_outlive_the_inbox(
    inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str], sync: bool
) -> None:
    inbox_settings = replace(inbox_settings, sync=sync)
    async with aiohttp.ClientSession() as http:
        async with Running(inbox_settings, capsys) as url:
            sender = Sender(url, http)
            body = sender.event("completed", "take-1", result=RESULT)
            assert (await sender.post(body, sender.headers(body, "evt_same")))[0] == 204
        async with Running(inbox_settings, capsys) as url:
            sender = Sender(url, http)
            assert (await sender.post(body, sender.headers(body, "evt_same")))[0] == 204
            assert (await sender.get("jobs/take-1"))[1]["result"] == RESULT
            assert len(await read_stream(sender, "jobs/take-1/events")) == 1


async def test_a_file_that_cannot_be_written_is_answered_so_that_the_worker_tries_again(
    sender: Sender, inbox_settings: InboxSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[bool]:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("scripts.inbox_store._insert", refuse)
        status, text = await sender.post(sender.event("completed", "take-1", result=RESULT))
    assert (status, text) == (503, "Not stored: database or disk is full.")
    await sender.send("completed", "take-1", result=RESULT)


async def test_events_are_answered_within_ten_milliseconds(sender: Sender) -> None:
    """Beyond what the machine takes at that moment to look up a job that is not there."""
    words = [{"word": "lantern"}] * (EVENT_SIZE_BYTES // 20)
    answers: list[float] = []
    looked_up: list[float] = []
    for number in range(60):
        body = sender.event("completed", f"take-{number}", result={**RESULT, "words": words})
        headers = sender.headers(body)
        began = time.perf_counter()
        assert (await sender.get("jobs/none"))[0] == 404
        between = time.perf_counter()
        assert (await sender.post(body, headers))[0] == 204
        answers.append(time.perf_counter() - between)
        looked_up.append(between - began)
    assert len(body) > EVENT_SIZE_BYTES
    assert statistics.median(answers) - statistics.median(looked_up) < ANSWER_LIMIT_S


async def test_old_jobs_are_forgotten_and_new_ones_kept(
    sender: Sender, inbox_settings: InboxSettings
) -> None:
    for job_id in ("old", "new"):
        await sender.send("completed", job_id, result=RESULT)
    with sqlite3.connect(inbox_settings.database) as file:
        file.execute("UPDATE job SET last_event_at = '2001-01-01' WHERE job_id = 'old'")
    async with InboxStore(inbox_settings.database) as store:
        assert await store.forget(older_than=timedelta(days=30)) == 1
        assert await store.job("old") is None
        assert await store.events("old", after_seq=0) == []
        assert await store.job("new") is not None


async def test_without_a_queue_its_status_is_empty(sender: Sender) -> None:
    assert await sender.get("queue/status") == (204, "")


async def test_the_queue_status_counts_messages_and_dead_letters(
    moto_endpoint: str, inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="jobs-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 3})
    queue = sqs.create_queue(QueueName="jobs", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    for body in "abc":
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    sqs.send_message(QueueUrl=dead, MessageBody="d")
    for looked_at in (queue, dead):
        sqs.receive_message(QueueUrl=looked_at, MaxNumberOfMessages=1)

    settings = replace(inbox_settings, queue_url=queue)
    async with Running(settings, capsys) as url, aiohttp.ClientSession() as http:
        status, counts = await Sender(url, http).get("queue/status")
    assert status == 200
    assert counts == {"available": 2, "in_flight": 1, "delayed": 0, "dead_letter": 1}


async def test_a_queue_that_cannot_be_read_is_a_bad_gateway(
    moto_endpoint: str, inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(inbox_settings, queue_url=f"{moto_endpoint}/123456789012/no-such-queue")
    async with Running(settings, capsys) as url, aiohttp.ClientSession() as http:
        assert (await Sender(url, http).get("queue/status"))[0] == 502


def test_the_command_says_where_it_listens_and_ends_on_a_signal(tmp_path: Path) -> None:
    environment = {**os.environ, "INBOX_WEBHOOK_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(ROOT / "scripts" / "inbox.py"), "--port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert re.fullmatch(r"Inbox on http://127\.0\.0\.1:\d+/\n", process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
