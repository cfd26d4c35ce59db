"""The demo shows what it promises, says so when it does not, and leaves nothing behind."""

import asyncio
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
from rich.console import Console

from scripts import demo
from scripts.demo_report import DeadLetter, dead_letter_table, jobs_table
from scripts.demo_scenario import JOBS, UPLOADS, DemoJob, Expected, departures
from tests.scripts.browser import Browser, executable, keep

CHROMIUM = executable()
ROOT = Path(__file__).resolve().parents[2]
DEAD_LETTERS = sum(job.expected.dead_letter is not None for job in JOBS)
README_PICTURE = (1200, 1000)
DEMO_TIMEOUT_S = 240  # on a loaded machine with cold caches
NEXT_JOB_TIMEOUT_S = 60

# Notes every value that the bar of any job has from now on: a quick job is over before one looks.
WATCH_BARS = """
window.bars = [];
new MutationObserver((changes) => {
  for (const row of new Set(changes.map((change) => change.target.closest("[data-job]")))) {
    const bar = row?.querySelector("progress");
    if (bar) window.bars.push([row.dataset.job, bar.value]);
  }
}).observe(document.getElementById("jobs"), { childList: true, subtree: true });
"""


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


def test_brackets_in_a_dead_letter_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    letter = DeadLetter("score [/b]", {"error_code": "[red]", "error_message": "no [/x]"})
    Console(width=150).print(dead_letter_table([letter]))
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("'score [/b]'", "[red]", "no [/x]"))


def test_the_messages_are_what_producers_of_both_generations_send() -> None:
    bodies = [json.loads(job.body("http://inbox/webhook")) for job in JOBS if not job.raw_body]
    assert {"webhook_url", "callback_url", "token_id", "video_id"} <= {k for b in bodies for k in b}
    assert any("배우" in body["s3_textgrid_url"] for body in bodies if "s3_textgrid_url" in body)


class RunningDemo:
    """`make demo KEEP=1` as a person has it, in a process group of its own as a terminal gives."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        environment = os.environ | {"TMPDIR": str(self.temporary), "COLUMNS": "130"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "demo.py"), "--keep"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_kept(self) -> None:
        def is_kept() -> bool:
            assert self.process.poll() is None, self.said()
            return "Ctrl-C ends it all" in self.said()

        wait_until(is_kept, DEMO_TIMEOUT_S, self.said)

    @property
    def inbox_url(self) -> str:
        found = re.search(r"The inbox: (\S+)", self.said())
        assert found is not None
        return found[1]

    def enqueue_another(self) -> None:
        """Do as it says one should."""
        said = self.said()
        commands = re.findall(r"^  (.+)$", said[said.index("Enqueue one more") :], re.MULTILINE)
        subprocess.run(["/bin/sh", "-ec", "\n".join(commands[:2])], check=True)

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


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """One demo for all the tests that follow; the last of them ends it."""
    running = RunningDemo(tmp_path_factory.mktemp("demo"))
    try:
        running.wait_until_kept()
        yield running
    finally:
        running.destroy()


needs_the_demo = pytest.mark.timeout(DEMO_TIMEOUT_S + NEXT_JOB_TIMEOUT_S + 30)


@needs_the_demo
def test_every_job_comes_out_as_expected(kept: RunningDemo) -> None:
    said = kept.said()
    assert f"All {len(JOBS)} came out as expected." in said
    codes = {job.expected.dead_letter for job in JOBS} - {None}
    assert [code for code in codes if not re.search(rf"\b{code}\b", said)] == []


@needs_the_demo
def test_kept_it_takes_another_job_as_it_says(kept: RunningDemo) -> None:
    with httpx.Client(base_url=kept.inbox_url) as inbox:
        assert inbox.get("/queue/status").json()["dead_letter"] == DEAD_LETTERS
        before = {job["job_id"] for job in inbox.get("/jobs").json()["jobs"]}
        kept.enqueue_another()

        def is_completed() -> bool:
            jobs = inbox.get("/jobs").json()["jobs"]
            new = [job["status"] for job in jobs if job["job_id"] not in before]
            return new == ["completed"]

        wait_until(is_completed, NEXT_JOB_TIMEOUT_S, kept.said)


@needs_the_demo
async def test_in_a_browser_a_real_jobs_bar_moves_and_its_words_appear(
    kept: RunningDemo, tmp_path: Path
) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    async with Browser.launch(CHROMIUM, tmp_path / "profile") as browser, browser.page() as page:
        await page.size(*README_PICTURE)
        await page.open(kept.inbox_url)
        await page.until("document.querySelector('#connection.live')")
        await page.evaluate(WATCH_BARS)
        await asyncio.to_thread(kept.enqueue_another)
        await page.until("window.bars.at(-1)?.[1] === 100")
        bars = await page.evaluate("window.bars")
        (job_id,) = {job_id for job_id, _ in bars}
        steps = [step for _, step in bars]
        assert steps == sorted(steps)
        assert steps[0] < 100
        await page.evaluate(f"location.hash = 'job={job_id}'")
        await page.until("document.querySelectorAll('.word').length === 9")
        await page.until("document.querySelector('.plot .own')?.outerHTML.length > 300")

        await page.evaluate("location.hash = 'job=lantern-omitted'")
        await page.until("document.querySelector('#detail h2').textContent === 'lantern-omitted'")
        await page.until("document.querySelector('.plot svg')")
        assert page.problems == []
        keep(await page.screenshot(), "inbox")


@needs_the_demo
def test_after_ctrl_c_nothing_is_left(kept: RunningDemo) -> None:
    family = psutil.Process(kept.process.pid).children(recursive=True)
    assert len(family) >= 3  # the inbox, the worker, its analysis processes
    os.killpg(kept.process.pid, signal.SIGINT)
    came_out = f"All {len(JOBS)} came out as expected." in kept.said()
    assert kept.process.wait(60) == (0 if came_out else 1), kept.said()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert list(kept.temporary.iterdir()) == []
