"""`dlq purge`: for good, and only what was meant."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.deadletters.command import run
from tests.worker.queues import Queues

REPOSITORY = Path(__file__).parents[3]


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
