from __future__ import annotations

import fcntl
import json
import math
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner

from tests.worker.queues import Queues, make_queues
from worker.cli import app
from worker.commands.top import HISTORY, Board, sparkline
from worker.fleet import Depth, QueueReading, WorkerReading

REPOSITORY = Path(__file__).parents[2]
WIDTH, HEIGHT = 80, 24
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    clean_environment.setenv("WORKER_QUEUE_URL", made.main)
    return made


class Terminal:
    """A person's terminal with `top` in it."""

    def __init__(self, handle: int, process: subprocess.Popen[bytes]) -> None:
        self.handle = handle
        self.process = process
        self.shown = b""

    def read_until(self, pattern: bytes, limit_s: float = 60) -> None:
        until = time.monotonic() + limit_s
        while not re.search(pattern, self.plain()):
            assert time.monotonic() < until, f"no {pattern!r} in {self.plain()[-3000:]!r}"
            if select.select([self.handle], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.handle, 65536)
                except OSError:  # the other side has closed the terminal
                    assert re.search(pattern, self.plain()), self.plain()[-3000:]

    def plain(self) -> bytes:
        return ESCAPES.sub(b"", self.shown)

    def frames(self) -> list[list[str]]:
        """The screens that were drawn: each begins with the cursor sent home."""
        drawn = self.shown.split(b"\x1b[H")[1:]
        texts = [ESCAPES.sub(b"", frame).decode(errors="replace") for frame in drawn]
        return [text.splitlines() for text in texts if text.strip()]

    def read_rest(self) -> None:
        while select.select([self.handle], [], [], 0.2)[0]:
            try:
                self.shown += os.read(self.handle, 65536)
            except OSError:
                return

    def press(self, keys: bytes) -> None:
        os.write(self.handle, keys)


@contextmanager
def top(*arguments: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "top", "--interval", "0.3", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_top_refreshes_in_place_in_a_small_terminal_and_quits_with_q(queues: Queues) -> None:
    with top("--worker", "http://127.0.0.1:1") as terminal:
        terminal.read_until(rb"jobs +0 +0 +0")
        queues.sqs.send_message(QueueUrl=queues.main, MessageBody=json.dumps({"job_id": "a"}))
        queues.bury("take-1")
        terminal.read_until(rb"jobs +1 +0 +0 +\? +1")
        terminal.read_until(rb"http://127.0.0.1:1 +does not answer \(ConnectError\)")
        frames = terminal.frames()
        assert len(frames) >= 3
        for frame in frames:
            assert len(frame) <= HEIGHT
            assert max(len(line) for line in frame) <= WIDTH
        assert "q quits" in frames[-1][0]
        terminal.press(b"q")
        assert terminal.process.wait(timeout=15) == 0
        terminal.read_rest()
        assert b"\x1b[?25h" in terminal.shown[-40:], "the cursor is given back"
        assert b"\x1b[?1049l" in terminal.shown[-40:], "the screen is given back"


def test_top_shows_a_failure_and_goes_on(
    queues: Queues, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_QUEUE_URL", queues.main + "-absent")
    with top() as terminal:
        terminal.read_until(rb"! GetQueueAttributes failed")
        queues.sqs.create_queue(QueueName="jobs-absent")
        terminal.read_until(rb"jobs-absent +0")
        terminal.press(b"q")
        assert terminal.process.wait(timeout=15) == 0


def test_top_without_a_terminal_names_status(queues: Queues) -> None:
    result = CliRunner().invoke(app, ["top"])
    assert result.exit_code == 2
    assert "analysis-worker status" in result.stderr


def queue(name: str = "jobs", visible: int = 0, dead: int = 0) -> QueueReading:
    return QueueReading(name, "", Depth(visible, 2, 1), 65.0, 5, f"{name}-dlq", Depth(dead, 0, 0))


def worker(address: str, completed: float, total_s: dict[float, float]) -> WorkerReading:
    prefix = "analysis_worker_"
    return WorkerReading(
        address,
        version="1.2.3",
        families={
            f"{prefix}jobs_settled_total": {
                (("code", "none"), ("outcome", "completed")): completed
            },
            f"{prefix}slots": {(): 4.0},
            f"{prefix}slots_busy": {(): 3.0},
            f"{prefix}job_stage_duration_seconds_bucket": {
                (("le", str(bound)), ("stage", "total")): count for bound, count in total_s.items()
            },
        },
    )


def test_rates_and_latency_come_from_what_the_workers_gained() -> None:
    board = Board(2.0)
    board.take([queue()], [worker("a", 100, {0.5: 0, 1.0: 10, math.inf: 10})], now=0.0)
    board.take([queue()], [worker("a", 120, {0.5: 0, 1.0: 30, math.inf: 30})], now=10.0)
    assert board.rates == {"completed": 2.0}
    assert board.p50_s == pytest.approx(0.75)
    text = "\n".join(board.lines(WIDTH, HEIGHT, "12:00:00"))
    assert "2.0/s" in text
    assert "0.75 s / 0.97 s" in text


def test_a_worker_that_began_again_gives_no_negative_rate() -> None:
    board = Board(2.0)
    board.take([queue()], [worker("a", 100, {})], now=0.0)
    board.take([queue()], [worker("a", 5, {})], now=10.0)
    assert board.rates == {"completed": 0.5}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (80, 5)])
def test_a_large_fleet_fits_whatever_terminal_there_is(width: int, height: int) -> None:
    board = Board(2.0)
    fleet = [worker(f"http://10.0.0.{n}:8080", n, {}) for n in range(100)]
    fleet.append(WorkerReading("http://10.9.9.9:8080", error="ConnectTimeout"))
    queues = [queue(f"a-queue-with-quite-a-long-name-{n}", 10**7) for n in range(9)]
    for now in range(HISTORY + 10):
        board.take(queues, fleet, now=float(now))
    board.error = "! " + "x" * 500
    lines = board.lines(width, height, "12:00:00")
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


def test_workers_in_trouble_are_shown_first() -> None:
    board = Board(2.0)
    fleet = [worker(f"http://10.0.0.{n}:8080", n, {}) for n in range(30)]
    board.take([queue()], [*fleet, WorkerReading("http://10.9.9.9:8080", error="X")], now=0.0)
    lines = board.lines(WIDTH, HEIGHT, "12:00:00")
    first = next(i for i, line in enumerate(lines) if line.startswith("WORKER")) + 1
    assert lines[first].startswith("http://10.9.9.9:8080")
    assert lines[-1].startswith("… and ")


def test_a_sparkline_scales_to_its_highest_value() -> None:
    assert sparkline([0, 1, 4, 8], 10) == "▁▁▄█"
    assert sparkline([0, 0], 10) == "▁▁"
    assert sparkline([], 10) == ""
    assert len(sparkline(list(range(100)), 10)) == 10
