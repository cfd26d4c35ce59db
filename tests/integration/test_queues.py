"""FIFO order, priorities between queues, and settings that change while the worker runs."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from statistics import median

from tests.integration.account import Account
from tests.integration.conftest import Launch
from tests.integration.gateway import AwsRequest, Fault, Gateway
from tests.integration.inbox import Inbox
from tests.integration.scripts import Held, Script
from tests.integration.waiting import wait_for


def order_of(inbox: Inbox, scripts: list[Script]) -> list[Script]:
    """The scripts in the order in which their events arrived."""
    places = {d.job_id: place for place, d in reversed(list(enumerate(inbox.deliveries)))}
    return sorted(scripts, key=lambda script: places[script.job_id])


def test_a_group_is_worked_on_in_order_and_one_at_a_time_while_others_run(
    account: Account, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    queue = account.queue(fifo=True)
    launch(queue.url, concurrency=2)
    first = Held(inbox, tmp_path, "a1")
    second, third = Script(inbox, "a2"), Script(inbox, "a3")
    other = Script(inbox, "b1")
    first.send(queue, group="a")
    second.send(queue, group="a")
    third.send(queue, group="a")
    other.send(queue, group="b")
    inbox.wait(other.job_id)
    assert first.starts == 1
    assert inbox.of(second.job_id) == inbox.of(third.job_id) == []
    first.let_go()
    inbox.wait(third.job_id)
    scripts = [first.script, second, third]
    assert order_of(inbox, scripts) == scripts
    queue.wait_until_empty()


def test_a_failure_holds_its_group_until_it_is_settled_and_no_other(
    account: Account, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    queue = account.queue(fifo=True, max_receives=2)
    launch(queue.url, concurrency=2)
    gate = tmp_path / "gate"
    failing = Script(inbox, "failing", f"await {gate}", "raise on purpose")
    behind, beside = Script(inbox, "behind"), Script(inbox, "beside")
    failing.send(queue, group="a")
    behind.send(queue, group="a")
    beside.send(queue, group="b")
    inbox.wait(beside.job_id)
    assert inbox.of(failing.job_id) == inbox.of(behind.job_id) == []
    gate.touch()
    inbox.wait(behind.job_id)
    scripts = [beside, failing, behind]
    assert order_of(inbox, scripts) == scripts
    (letter,) = queue.dead_letters()
    assert letter.code == "retries_exhausted"
    assert letter.attributes["receive_count"] == "2"
    assert letter.group_id == "a"


def test_a_fifo_receive_that_failed_is_repeated_under_its_own_id(
    account: Account, launch: Launch, gateway: Gateway, inbox: Inbox
) -> None:
    ids: list[str] = []

    def failing_at_first(request: AwsRequest) -> Fault | None:
        if request.operation != "ReceiveMessage":
            return None
        ids.append(json.loads(request.body)["ReceiveRequestAttemptId"])
        return Fault(403, "AccessDeniedException") if len(ids) <= 2 else None

    queue = account.queue(fifo=True)
    gateway.rules.append(failing_at_first)
    launch(queue.url, endpoint=gateway.url)
    job = Script(inbox, "repeated")
    job.send(queue, group="a")
    inbox.wait(job.job_id)
    wait_for(lambda: len(ids) >= 5, within_s=20, what="five receives")
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids[2:5])) == 3


def test_the_higher_queue_is_emptied_first_and_the_lower_does_not_starve(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    high, low = account.queue(), account.queue()
    # Long enough that slots are what both queues want, and not the calls to SQS.
    urgent = [Script(inbox, f"high{i}", "sleep 1") for i in range(15)]
    patient = [Script(inbox, f"low{i}", "sleep 1") for i in range(15)]
    for script in patient:
        script.send(low)
    for script in urgent:
        script.send(high)
    launch(f"{high.url},{low.url}", concurrency=3)
    for queue in (high, low):
        queue.wait_until_empty(within_s=60)
    order = order_of(inbox, urgent + patient)
    last_urgent = max(order.index(script) for script in urgent)
    early = [script for script in order[:last_urgent] if script in patient]
    # Six permits, one of them sure for the lower queue. It also gets what comes free while the
    # higher queue's receive is under way, which depends on SQS; its own turn comes all the same.
    assert len(early) >= 1
    assert median(map(order.index, urgent)) + 5 < median(map(order.index, patient))


def test_queues_that_are_empty_keep_no_slot_from_one_that_is_not(
    account: Account, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    queues = [account.queue() for _ in range(4)]
    launch(",".join(queue.url for queue in queues), concurrency=2, wait_time_s=5)
    jobs = [Held(inbox, tmp_path, f"busy{i}") for i in range(4)]
    for job in jobs:
        job.send(queues[0])
    wait_for(lambda: sum(job.starts for job in jobs) >= 2, within_s=30, what="both slots busy")
    for job in jobs:
        job.let_go()
    queues[0].wait_until_empty()


def test_an_idle_worker_costs_one_long_poll_for_each_queue(
    account: Account, launch: Launch, gateway: Gateway
) -> None:
    queues = [account.queue() for _ in range(3)]
    worker = launch(
        ",".join(queue.url for queue in queues), endpoint=gateway.url, wait_time_s=2, concurrency=2
    )
    wait_for(lambda: gateway.count("ReceiveMessage") >= 3, within_s=20, what="first polls")
    before = gateway.count("ReceiveMessage")
    others = len(gateway.seen) - before
    cpu_s = sum(worker_cpu(worker.pid))
    wait_for(
        lambda: gateway.count("ReceiveMessage") >= before + 6, within_s=20, what="two more rounds"
    )
    assert len(gateway.seen) - gateway.count("ReceiveMessage") == others
    assert sum(worker_cpu(worker.pid)) - cpu_s < 1.0


def worker_cpu(pid: int) -> tuple[float, float]:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return times.user, times.system


def test_slots_and_log_level_change_on_hangup_and_slots_that_go_are_drained(
    account: Account, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    queue = account.queue()
    worker = launch(
        queue.url,
        environment={"WORKER_CONCURRENCY": ""},
        env_file="WORKER_CONCURRENCY=1\n",
    )
    assert worker.metric("analysis_worker_slots") == 1

    worker.write_env_file("WORKER_CONCURRENCY=3\nWORKER_LOG_LEVEL=WARNING\n")
    worker.tell(signal.SIGHUP)
    worker.wait_for_metric("analysis_worker_slots", 3)
    jobs = [Held(inbox, tmp_path, f"slot{i}") for i in range(3)]
    for job in jobs:
        job.send(queue)
    wait_for(lambda: all(job.starts for job in jobs), within_s=30, what="three at once")

    worker.write_env_file("WORKER_CONCURRENCY=0\n")
    worker.tell(signal.SIGHUP)
    (refused,) = worker.wait_for_log("settings_not_reloaded")
    assert re.search("WORKER_CONCURRENCY", refused["reason"])

    worker.write_env_file("WORKER_CONCURRENCY=1\nWORKER_LOG_LEVEL=INFO\n")
    worker.tell(signal.SIGHUP)
    worker.wait_for_log("settings_reloaded", slots=1)
    assert worker.metric("analysis_worker_slots") == 3
    for job in jobs:
        job.let_go()
        (event,) = inbox.wait(job.job_id)
        assert event.event["data"]["attempt"] == 1
    worker.wait_for_metric("analysis_worker_slots", 1)
    assert worker.stop() == 0
