"""Told to stop: what runs is finished, what waits is handed back, and nothing is left over."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.account import Account, TestQueue
from tests.integration.conftest import Launch
from tests.integration.gateway import Fault, Gateway
from tests.integration.inbox import Inbox
from tests.integration.scripts import Held, Script
from tests.integration.waiting import wait_for
from tests.integration.worker_process import WorkerProcess


@pytest.fixture
def queue(account: Account) -> TestQueue:
    # Long enough that only a release makes a message visible again within a test.
    return account.queue(visibility_s=300)


def begun(job: Held) -> None:
    wait_for(lambda: job.starts, within_s=30, what=f"start of {job.job_id}")


def gone(pids: list[int]) -> None:
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), within_s=10, what="end of the children")


def processes(worker: WorkerProcess) -> list[int]:
    return [p.pid for p in psutil.Process(worker.pid).children(recursive=True)]


def test_the_started_finish_the_waiting_are_handed_back_and_the_last_receive_is_completed(
    queue: TestQueue, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    worker = launch(queue.url, concurrency=1, visibility_timeout_s=300, wait_time_s=4)
    children = processes(worker)
    running = Held(inbox, tmp_path, "running")
    running.send(queue)
    begun(running)

    worker.tell(signal.SIGTERM)
    worker.wait_for_log("stop_asked")
    # The long poll of the second permit still runs: what it brings is not lost, but handed back.
    late = Script(inbox, "late")
    late.send(queue)
    assert worker.ask("/readyz")[0] == 503
    assert worker.ask("/livez")[0] == 200
    wait_for(lambda: queue.depth() == (1, 1), within_s=15, what="release", seen=queue.depth)
    assert worker.process.poll() is None

    running.let_go()
    assert worker.wait() == 0
    assert worker.logs("stopped", unsettled=0)
    assert len(inbox.of(running.job_id, "analysis.completed")) == 1
    assert inbox.of(late.job_id) == []
    assert queue.depth() == (1, 0)
    gone(children)


def test_a_job_waiting_for_a_slot_is_handed_back(
    queue: TestQueue, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    worker = launch(queue.url, concurrency=1, visibility_timeout_s=300)
    running = Held(inbox, tmp_path, "running")
    waiting = Held(inbox, tmp_path, "waiting")
    running.send(queue)
    begun(running)
    waiting.send(queue)
    wait_for(lambda: queue.depth() == (0, 2), within_s=10, what="both received")
    worker.tell(signal.SIGINT)
    wait_for(lambda: queue.depth() == (1, 1), within_s=10, what="release", seen=queue.depth)
    running.let_go()
    assert worker.wait() == 0
    assert waiting.starts == 0
    taken = queue.receive(wait_s=2)
    assert taken is not None
    assert taken["Attributes"]["ApproximateReceiveCount"] == "2"


def test_what_outlives_the_grace_is_stopped_and_handed_back(
    queue: TestQueue, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    worker = launch(queue.url, visibility_timeout_s=300, shutdown_grace_s=1)
    children = processes(worker)
    endless = Held(inbox, tmp_path, "endless")
    endless.send(queue)
    begun(endless)
    assert worker.stop() == 0
    assert queue.depth() == (1, 0)
    assert inbox.of(endless.job_id) == []
    gone(children)


def test_a_second_signal_stops_at_once(
    queue: TestQueue, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    worker = launch(queue.url, visibility_timeout_s=300, shutdown_grace_s=90, wait_time_s=20)
    children = processes(worker)
    endless = Held(inbox, tmp_path, "endless")
    endless.send(queue)
    begun(endless)
    worker.tell(signal.SIGTERM)
    worker.wait_for_log("stop_asked", times=1)
    worker.tell(signal.SIGTERM)
    assert worker.wait(within_s=10) == 0
    # Asked of the worker and not of the queue: the poll that was broken off may still run in the
    # server, and take the message that was just handed back.
    assert worker.logs("job_done", outcome="released")
    gone(children)


def test_an_event_on_its_way_arrives_before_the_end(
    queue: TestQueue, launch: Launch, inbox: Inbox
) -> None:
    worker = launch(queue.url, visibility_timeout_s=300)
    job = Script(inbox, "underway", hook="gate/drain")
    job.send(queue)
    gate = inbox.gate("drain")
    wait_for(lambda: gate.waiting, within_s=30, what="delivery")
    worker.tell(signal.SIGTERM)
    worker.wait_for_log("draining")
    gate.opened.set()
    assert worker.wait() == 0
    assert len(inbox.of(job.job_id, "analysis.completed")) == 1
    assert queue.depth() == (0, 0)


def test_a_stop_before_it_is_ready_ends_it_with_nothing_left(
    queue: TestQueue, launch: Launch
) -> None:
    worker = launch(queue.url, wait=False, concurrency=2)
    wait_for(lambda: worker.ask("/readyz")[0] == 503, within_s=60, what="start", seen=worker.tail)
    assert worker.ask("/livez")[0] == 200
    children = processes(worker)
    worker.tell(signal.SIGTERM)
    assert worker.wait() == 0
    gone(children)


def test_a_worker_killed_outright_leaves_no_process_and_its_job_comes_back(
    account: Account, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    queue = account.queue()
    worker = launch(queue.url, visibility_timeout_s=3)
    children = processes(worker)
    job = Held(inbox, tmp_path, "orphan")
    job.send(queue)
    begun(job)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    gone(children)
    job.let_go()
    launch(queue.url, visibility_timeout_s=3)
    (event,) = inbox.wait(job.job_id)
    assert event.event["data"]["attempt"] == 2
    assert job.starts == 2
    queue.wait_until_empty()


def test_a_delete_that_sqs_does_not_answer_is_neither_waited_for_nor_called_settled(
    account: Account, launch: Launch, gateway: Gateway, inbox: Inbox
) -> None:
    queue = account.queue()
    gateway.rules.append(
        lambda r: Fault(delay_s=60) if r.operation == "DeleteMessageBatch" else None
    )
    worker = launch(queue.url, endpoint=gateway.url, wait_time_s=1, shutdown_grace_s=1)
    job = Script(inbox, "undeleted")
    job.send(queue)
    inbox.wait(job.job_id)
    assert worker.stop(within_s=20) == 1
    assert worker.wait_for_log("stopped")[0]["unsettled"] == 1
    assert worker.logs("delete_failed", job_id=job.job_id)
    assert queue.depth() == (0, 1)


def test_a_delivered_job_is_deleted_though_its_mark_outlives_the_grace(
    account: Account, launch: Launch, gateway: Gateway, inbox: Inbox
) -> None:
    queue, bucket = account.queue(), account.bucket()
    gateway.rules.append(lambda r: Fault(delay_s=60) if "/results/delivered/" in r.path else None)
    worker = launch(
        queue.url, endpoint=gateway.url, wait_time_s=1, shutdown_grace_s=1, results_bucket=bucket
    )
    job = Script(inbox, "unmarked")
    job.send(queue)
    inbox.wait(job.job_id)
    assert worker.stop(within_s=20) == 0
    assert queue.depth() == (0, 0)
