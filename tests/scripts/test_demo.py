"""The demo shows what it promises, says so when it does not, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from scripts import demo
from scripts.demo_report import DeadLetter, dead_letter_table, jobs_table
from scripts.demo_scenario import JOBS, UPLOADS, DemoJob, Expected, departures

ROOT = Path(__file__).resolve().parents[2]
DEMO_TIMEOUT_S = 240  # on a loaded machine with cold caches
NEXT_JOB_TIMEOUT_S = 60


def completed(**scores: float | None) -> dict[str, Any]:
    return {
        "job_id": "take",
        "status": "completed",
        "progress": 100,
        "first_event_at": "2026-01-01T00:00:00+00:00",
        "last_event_at": "2026-01-01T00:00:01.5+00:00",
        "result": {
            "scores": scores,
            "words": [{"word": "Lantern", "status": "ok"}],
            "feedback": [],
        },
    }


def job(expected: Expected) -> DemoJob:
    return DemoJob("take", "a test's", expected)


def test_every_fixture_the_demo_uploads_is_there() -> None:
    assert [name for name in UPLOADS.values() if not (demo.FIXTURES / name).is_file()] == []


def test_no_two_jobs_share_an_id() -> None:
    assert len({job.job_id for job in JOBS}) == len(JOBS) >= 12


@pytest.mark.parametrize(
    "expected",
    [
        Expected(at_least={"overall": 70}),
        Expected(at_most={"pitch": 40}, null=("timing",)),
        Expected(below={"pitch": ("other", 20)}, words={"lantern": ("ok", "omitted")}),
    ],
)
def test_what_comes_out_as_expected_departs_in_nothing(expected: Expected) -> None:
    seen = {"take": completed(overall=70, pitch=40, timing=None), "other": completed(pitch=60)}
    assert list(departures(job(expected), seen, {})) == []


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (Expected("failed"), "completed, not failed"),
        (Expected(at_least={"overall": 71}), "overall 70, not at least 71"),
        (Expected(at_least={"timing": 1}), "timing None, not at least 1"),
        (Expected(at_most={"pitch": 39}), "pitch 40, not at most 39"),
        (Expected(null=("pitch",)), "pitch 40, not null"),
        (Expected(below={"pitch": ("other", 21)}), "pitch 40, not 21 below other (60)"),
        (Expected(below={"pitch": ("none", 1)}), "pitch 40, not 1 below none (None)"),
        (Expected(words={"lantern": ("omitted",)}), "“lantern” ok, not omitted"),
        (Expected(feedback="no_speech"), "no feedback no_speech"),
        (Expected(dead_letter="not_found"), "dead letter none, not not_found"),
    ],
)
def test_what_does_not_is_said(expected: Expected, said: str) -> None:
    seen = {"take": completed(overall=70, pitch=40, timing=None), "other": completed(pitch=60)}
    assert list(departures(job(expected), seen, {})) == [said]


def test_a_job_nobody_heard_of_and_an_unwanted_dead_letter_are_said() -> None:
    found = list(departures(job(Expected()), {}, {"take": "timeout"}))
    assert found == ["unheard, not completed", "dead letter timeout, not none"]


def test_it_does_not_call_a_departure_a_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "inbox_jobs", lambda _: {})
    monkeypatch.setattr(demo, "dead_letters", lambda _: [])
    stack: Any = None
    assert demo.report(stack) is False
    assert f"{len(JOBS)} of {len(JOBS)} did not come out as expected" in capsys.readouterr().out


@pytest.mark.parametrize(("width", "columns"), [(80, 8), (130, 9)])
def test_the_table_has_what_the_terminal_has_room_for(width: int, columns: int) -> None:
    take = job(Expected())
    table = jobs_table([take], {"take": completed(overall=70.4)}, {"take": []}, width=width)
    assert len(table.columns) == columns
    assert table.row_count == 1


def test_a_dead_letter_without_a_job_is_shown_by_its_body() -> None:
    letters = [
        DeadLetter("score my recording", {"error_code": "invalid_json"}),
        DeadLetter('{"job_id": "take"}', {}),
    ]
    assert [letter.job_id for letter in letters] == [None, "take"]
    assert [letter.code for letter in letters] == ["invalid_json", "moved by SQS"]
    assert list(dead_letter_table(letters).columns[0].cells) == ["'score my recordi'", "take"]


class RunningDemo:
    """The demo as a person starts it, in a process group of its own, as a terminal gives it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder / "output"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        environment = os.environ | {"TMPDIR": str(self.temporary), "COLUMNS": "130"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "demo.py"), *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        def seen() -> bool:
            assert self.process.poll() is None, self.said()
            return text in self.said()

        wait_until(seen, DEMO_TIMEOUT_S, self.said)

    def destroy(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


def wait_until(
    condition: Callable[[], object], timeout_s: float, explain: Callable[[], str]
) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, explain()
        time.sleep(0.1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningDemo]]:
    started: list[RunningDemo] = []

    def begin(*arguments: str) -> RunningDemo:
        started.append(RunningDemo(tmp_path, *arguments))
        return started[-1]

    yield begin
    for running in started:
        running.destroy()


@pytest.mark.timeout(DEMO_TIMEOUT_S + 30)
def test_it_ends_with_success_when_all_came_out_as_expected(
    start: Callable[..., RunningDemo],
) -> None:
    running = start()
    code = running.process.wait(DEMO_TIMEOUT_S)
    said = running.said()
    assert f"All {len(JOBS)} came out as expected." in said
    assert code == 0, said
    for expected in (job.expected.dead_letter for job in JOBS):
        assert expected is None or re.search(rf"\b{expected}\b", said)
    assert list(running.temporary.iterdir()) == []


@pytest.mark.timeout(DEMO_TIMEOUT_S + NEXT_JOB_TIMEOUT_S + 30)
def test_kept_it_takes_another_job_and_leaves_nothing_behind_after_ctrl_c(
    start: Callable[..., RunningDemo],
) -> None:
    running = start("--keep")
    running.wait_for("Ctrl-C ends it all")
    said = running.said()
    address = re.search(r"The inbox: (\S+)", said)
    commands = re.findall(r"^  (.+)$", said[said.index("Enqueue one more") :], re.MULTILINE)
    assert address is not None
    inbox = httpx.Client(base_url=address[1])
    assert "Analysis inbox" in inbox.get("/").text
    assert inbox.get("/queue/status").json()["dead_letter"] == 3

    before = len(inbox.get("/jobs").json()["jobs"])
    subprocess.run(["/bin/sh", "-ec", "\n".join(commands[:2])], check=True)

    def another_completed() -> bool:
        jobs = inbox.get("/jobs").json()["jobs"]
        return len(jobs) > before and jobs[-1]["status"] == "completed"

    wait_until(another_completed, NEXT_JOB_TIMEOUT_S, running.said)

    family = psutil.Process(running.process.pid).children(recursive=True)
    assert len(family) >= 3  # the inbox, the worker, its analysis processes
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(60) == 0, running.said()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert list(running.temporary.iterdir()) == []


def test_the_messages_are_what_producers_of_both_generations_send() -> None:
    bodies = [json.loads(job.body("http://inbox/webhook")) for job in JOBS if not job.raw_body]
    assert {"webhook_url", "callback_url", "token_id", "video_id"} <= {k for b in bodies for k in b}
    assert any("배우" in body["s3_textgrid_url"] for body in bodies if "s3_textgrid_url" in body)
