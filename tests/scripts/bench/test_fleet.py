"""The comparison of fleets: a tiny run of ours for real, and that each is asked for the same."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.bench import bill, ceiling, fleet, fleet_run, rival_systems, sqs_server
from scripts.bench.fleet_run import Stand
from scripts.bench.rivals.event import event
from scripts.bench.systems import OURS, SYSTEM, Letter, Place, Start, System
from scripts.child_process import ChildError
from worker.contract import Addressee, EventType, build_event

JOBS = 20


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    try:
        sqs_server.chosen()
    except ChildError as missing:
        pytest.skip(str(missing))
    with fleet_run.stand(Path(tmp_path_factory.mktemp("stand"))) as on:
        yield on


def test_each_job_of_ours_arrives_once_and_in_time(stand: Stand) -> None:
    run = fleet_run.throughput(stand, SYSTEM, processes=1, jobs=JOBS)
    assert (run.count.jobs, run.count.posts, run.count.nameless) == (JOBS, JOBS, 0)
    assert run.jobs_per_s > 0
    assert run.cpu_ms_per_job >= 0


def test_the_bill_of_ours_has_every_receive_and_delete_in_it(stand: Stand) -> None:
    counts = bill.of_a_full_queue(stand, SYSTEM, jobs=JOBS)
    assert counts["ReceiveMessage"] >= JOBS / 10
    deletes = counts.get("DeleteMessageBatch", 0) + counts.get("DeleteMessage", 0)
    assert JOBS / 10 <= deletes <= JOBS
    assert counts["GetQueueAttributes"] == 1


def test_the_bill_of_jobs_that_keep_coming_has_no_start_in_it(stand: Stand) -> None:
    counts = bill.of_coming_jobs(stand, SYSTEM, jobs=JOBS, jobs_per_s=100.0)
    assert set(counts) == {"ReceiveMessage", "DeleteMessageBatch"}
    assert JOBS / 10 <= counts["DeleteMessageBatch"] < JOBS


def test_the_ceiling_is_measured_until_the_queue_is_empty(moto_server: str) -> None:
    # One after another: moto may give one message to two who ask at the same moment.
    assert ceiling.in_tens(moto_server, 30, tasks=1) > 0
    assert ceiling.one_by_one(moto_server, 10, tasks=1) > 0


def test_a_rivals_event_is_as_long_as_ours() -> None:
    job = {"job_id": "bench-000001", "s3_audio_url": "s3://bench/line.wav", "webhook_url": ""}
    ours = build_event(
        EventType.COMPLETED,
        Addressee(job_id=job["job_id"]),
        attempt=1,
        progress=100,
        message="Analysis completed.",
        result=b'{"scores":{}}',
    )
    theirs = event(job)
    assert len(theirs) == len(ours.body)
    assert json.loads(theirs)["data"] == json.loads(ours.body)["data"]


def test_what_is_not_installed_is_named_and_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    absent = System("absent", lambda place, processes: [], lambda place, jobs: [], tmp_path / "no")
    assert fleet.installed([SYSTEM, absent], said.append) == [SYSTEM]
    assert said == ["absent is not installed and left out: run `make rivals`"]


@pytest.mark.parametrize("name", list(rival_systems.RIVALS))
def test_every_rival_writes_its_messages_and_starts_for_two_processes(
    name: str, tmp_path: Path
) -> None:
    system = rival_systems.RIVALS[name]
    if not system.is_installed:
        pytest.skip(f"{name} is not installed")
    place = Place(
        "http://127.0.0.1:9", "http://127.0.0.1:9", "http://h/", "q", "http://q", tmp_path
    )
    assert system.start(place, 2)
    written = system.letters(place, 3)
    assert len({letter.body for letter in written}) == 3


def test_a_system_that_ends_is_told_of_with_its_last_words(stand: Stand) -> None:
    broken = System(
        "broken",
        lambda place, processes: [Start(["sh", "-c", "echo no luck; exit 3"], {})],
        lambda place, jobs: [Letter("{}")] * jobs,
    )
    began = time.monotonic()
    with pytest.raises(ChildError, match="no luck"):
        fleet_run.throughput(stand, broken, processes=1, jobs=JOBS)
    assert time.monotonic() - began < fleet_run.START_ALLOWANCE_S / 2


def test_ours_is_among_the_systems() -> None:
    assert next(iter(fleet.SYSTEMS)) == OURS
