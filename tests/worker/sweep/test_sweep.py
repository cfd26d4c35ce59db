"""Objects past their age, and all repairs of a sweep together."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from tests.worker.queues import Queues
from tests.worker.sweep.sweeping import (
    AT_ONCE,
    BUCKET,
    Opened,
    job,
    keys,
    silent,
    store,
    swept,
)
from worker.cli import app
from worker.locations import S3Location
from worker.sweep import SweepOptions
from worker.sweep_report import SweepReport


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
