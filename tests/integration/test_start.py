"""What a worker needs before it starts, and how little the I/O process itself is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.account import Account
from tests.integration.conftest import Launch
from tests.integration.inbox import Inbox
from tests.integration.scripts import Script
from tests.integration.waiting import wait_for
from tests.integration.worker_process import ROOT

HEAVY = ("librosa", "parselmouth", "pocketsphinx", "onnxruntime", "numba", "scipy", "av")
MAX_RSS_MB = 120


def test_the_io_process_imports_nothing_of_the_analysis() -> None:
    code = f"import sys, worker.service; print([m for m in {HEAVY!r} if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def test_the_running_io_process_maps_no_analysis_library_and_is_small(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue()
    # With the real handler: its models are the children's alone.
    worker = launch(queue.url, handlers="tests.integration.scripted_jobs")
    jobs = [Script(inbox, f"small{i}", f"say {i}") for i in range(20)]
    for job in jobs:
        job.send(queue)
    for job in jobs:
        inbox.wait(job.job_id)
    maps = Path(f"/proc/{worker.pid}/maps").read_text(encoding="utf-8")
    assert [name for name in HEAVY if f"/{name}/" in maps] == []
    (child,) = worker.children()
    assert "/parselmouth" in Path(f"/proc/{child.pid}/maps").read_text(encoding="utf-8")
    assert worker.rss_mb() < MAX_RSS_MB


def test_it_refuses_a_queue_without_a_dead_letter_queue(account: Account, launch: Launch) -> None:
    worker = launch(account.queue(dead_letters=False).url, wait=False)
    assert worker.wait(within_s=60) == 1
    (line,) = worker.logs("cannot_start")
    assert "--allow-no-dlq" in line["reason"]


def test_it_refuses_a_queue_that_does_not_exist(account: Account, launch: Launch) -> None:
    worker = launch(account.queue().url + "-typo", wait=False)
    assert worker.wait(within_s=60) == 1
    (line,) = worker.logs("cannot_start")
    assert "WORKER_QUEUE_URL" in line["reason"]


def test_jobs_are_done_while_the_dead_letter_queue_is_gone_and_none_is_dropped(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue(max_receives=100)
    queue.lose_dead_letter_queue()
    worker = launch(queue.url)
    queue.send("this is no JSON")
    worker.wait_for_log("dead_letter_failed")
    job = Script(inbox, "fine")
    job.send(queue)
    inbox.wait(job.job_id)
    queue.restore_dead_letter_queue()
    (letter,) = queue.dead_letters()
    assert letter.code == "invalid_json"
    queue.wait_until_empty()


def test_allowed_to_it_runs_without_and_logs_what_it_drops(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue(dead_letters=False)
    worker = launch(queue.url, arguments=("--allow-no-dlq",))
    queue.send("this is no JSON")
    worker.wait_for_log("job_dropped", code="invalid_json")
    queue.wait_until_empty()
    job = Script(inbox, "fine")
    job.send(queue)
    inbox.wait(job.job_id)


def test_it_waits_for_sqs_that_is_not_there_yet(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    from tests.integration.gateway import Gateway

    queue = account.queue()
    with Gateway(account.endpoint) as gateway:
        gateway.go_down()
        worker = launch(queue.url, endpoint=gateway.url, wait=False)
        worker.wait_for_log("queue_unreachable", within_s=60)
        assert worker.ask("/readyz")[0] == 503
        assert worker.ask("/livez")[0] == 200
        gateway.come_back()
        worker.wait_until_ready()
        wait_for(lambda: worker.ask("/readyz")[0] == 200, within_s=10, what="readiness")
        job = Script(inbox, "patient")
        job.send(queue)
        inbox.wait(job.job_id)
        assert worker.stop() == 0


def test_until_empty_ends_when_every_message_is_settled(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue(max_receives=2)
    jobs = [Script(inbox, f"last{i}", f"say {i}") for i in range(5)]
    for job in jobs:
        job.send(queue)
    queue.send("not json")
    worker = launch(queue.url, wait=False, arguments=("--until-empty",))
    assert worker.wait(within_s=90) == 0
    assert queue.depth() == (0, 0)
    assert all(len(inbox.of(job.job_id)) == 1 for job in jobs)
    assert len(queue.dead_letters()) == 1
