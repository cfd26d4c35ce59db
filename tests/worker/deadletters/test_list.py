"""`dlq list` and `dlq show`: what lies there, and why."""

from __future__ import annotations

import json
import time

import boto3
import pytest

from tests.worker.deadletters.command import jobs, listed, run
from tests.worker.queues import Queues, make_queues


def test_a_list_shows_code_stage_age_tries_and_whether_the_consumer_was_told(
    queues: Queues,
) -> None:
    queues.bury("take-1")
    result = run("list")
    assert result.exit_code == 0
    heading, row = result.stdout.splitlines()
    assert heading.split() == ["AGE", "CODE", "STAGE", "TRIES", "TOLD", "JOB", "MESSAGE"]
    # The age is one word or two, and how many depends on the hour.
    assert row.split()[-6:-1] == ["not_found", "fetch", "5", "yes", "take-1"]
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


def test_brackets_and_colons_in_a_letter_are_shown_as_they_are(queues: Queues) -> None:
    queues.bury("take-1", "[red]:warning:", error_stage="[/b]")
    result = run("list")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[-6:-1] == [
        "[red]:warning:",
        "[/b]",
        "5",
        "yes",
        "take-1",
    ]


def test_what_sqs_moved_itself_is_named_so(queues: Queues) -> None:
    queues.bury("take-1", None)
    assert "(moved by SQS)" in run("list").stdout


def test_what_can_not_be_read_is_listed_all_the_same(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody="no JSON")
    (only,) = listed()
    assert only["job_id"] is None
    assert only["told"] is None


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
