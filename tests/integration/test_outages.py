"""AWS in trouble: calls cut, garbled, refused or unanswered are waited out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.account import Account, TestQueue
from tests.integration.conftest import Launch
from tests.integration.gateway import AwsRequest, Fault, Gateway, Rule
from tests.integration.inbox import Inbox
from tests.integration.scripts import Held, Script
from tests.integration.waiting import wait_for
from tests.integration.worker_process import WorkerProcess


@pytest.fixture(scope="module")
def queue(account: Account) -> TestQueue:
    return account.queue(max_receives=5)


@pytest.fixture(scope="module")
def worker(
    account: Account, module_launch: Launch, module_gateway: Gateway, queue: TestQueue
) -> WorkerProcess:
    return module_launch(
        queue.url,
        endpoint=module_gateway.url,
        visibility_timeout_s=6,
        results_bucket=account.bucket(),
    )


@pytest.fixture
def gateway(module_gateway: Gateway) -> Iterator[Gateway]:
    yield module_gateway
    module_gateway.rules.clear()
    module_gateway.come_back()


def some(operation: str, count: int, fault: Fault) -> tuple[list[AwsRequest], Rule]:
    """Make a rule that meets the first requests of an operation; and what it has met."""
    met: list[AwsRequest] = []

    def rule(request: AwsRequest) -> Fault | None:
        if request.operation != operation or len(met) >= count:
            return None
        met.append(request)
        return fault

    return met, rule


def still_works(worker: WorkerProcess, queue: TestQueue, inbox: Inbox, name: str) -> None:
    job = Script(inbox, name)
    job.send(queue)
    assert len(inbox.wait(job.job_id, "analysis.completed", within_s=60)) == 1
    assert worker.process.poll() is None
    queue.wait_until_empty()


FAULTS = {
    "cut in the middle": Fault(cut_after=20),
    "garbled": Fault(200, body=b"<html>captive portal</html>"),
    "throttled": Fault(400, "RequestThrottled"),
    "failing": Fault(503, "ServiceUnavailable"),
    "denied": Fault(403, "AccessDeniedException"),
    "credentials expired": Fault(403, "ExpiredTokenException"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_receives_in_trouble_are_repeated(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, name: str
) -> None:
    before = len(worker.logs("receive_failed"))
    # Three for each call of the SDK, which tries again by itself what may be tried again.
    met, rule = some("ReceiveMessage", 3, FAULTS[name])
    gateway.rules.append(rule)
    wait_for(lambda: len(met) == 3, within_s=60, what="receives", seen=worker.tail)
    still_works(worker, queue, inbox, "healed")
    failed = worker.logs("receive_failed")[before:]
    if name == "credentials expired":
        assert failed
        assert all(line["code"] == "credentials_expired" for line in failed)


@pytest.mark.parametrize("name", ["cut in the middle", "garbled", "failing"])
def test_deletes_in_trouble_do_not_stop_the_worker(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, name: str
) -> None:
    met, rule = some("DeleteMessageBatch", 3, FAULTS[name])
    gateway.rules.append(rule)
    still_works(worker, queue, inbox, "deleted-late")
    assert met


def test_a_message_that_cannot_be_deleted_comes_back_and_is_neither_scored_nor_told_again(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, tmp_path: Path
) -> None:
    _, rule = some("DeleteMessageBatch", 1000, FAULTS["failing"])
    gateway.rules.append(rule)
    starts = tmp_path / "starts"
    job = Script(inbox, "undeletable", f"note {starts}")
    job.send(queue)
    worker.wait_for_log("delete_failed", job_id=job.job_id, within_s=60)
    gateway.rules.clear()
    worker.wait_for_log("already_delivered", job_id=job.job_id, within_s=60)
    queue.wait_until_empty()
    assert len(inbox.of(job.job_id, "analysis.completed")) == 1
    assert len(starts.read_text().splitlines()) == 1


@pytest.mark.parametrize("name", ["cut in the middle", "garbled"])
def test_renewals_in_trouble_are_repeated_before_the_lease_runs_out(  # noqa: PLR0917
    worker: WorkerProcess,
    gateway: Gateway,
    queue: TestQueue,
    inbox: Inbox,
    tmp_path: Path,
    name: str,
) -> None:
    met, rule = some("ChangeMessageVisibilityBatch", 1, FAULTS[name])
    gateway.rules.append(rule)
    job = Held(inbox, tmp_path, "renewed")
    job.send(queue)
    before = worker.metric("analysis_worker_lease_renewals_total")
    wait_for(
        lambda: worker.metric("analysis_worker_lease_renewals_total") >= before + 3,
        within_s=60,
        what="three renewals after the trouble",
        seen=worker.tail,
    )
    assert met
    job.let_go()
    (event,) = inbox.wait(job.job_id)
    assert event.event["data"]["attempt"] == 1
    assert job.starts == 1


def test_a_lease_lost_in_an_outage_stops_the_job_and_its_process_and_settles_nothing(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, tmp_path: Path
) -> None:
    queue.wait_until_empty()
    job = Held(inbox, tmp_path, "lost")
    job.send(queue)
    wait_for(lambda: job.starts == 1, within_s=30, what="start")
    children = {child.pid for child in worker.children()}
    gateway.go_down()
    worker.wait_for_log("lease_lost", reason="expired", within_s=60)
    wait_for(lambda: not children & {c.pid for c in worker.children()}, within_s=10, what="stop")
    assert worker.ask("/livez")[0] == 200
    assert worker.metric("analysis_worker_leases_lost_total", reason="expired") >= 1
    gateway.come_back()
    wait_for(lambda: job.starts == 2, within_s=60, what="second start", seen=worker.tail)
    job.let_go()
    (event,) = inbox.wait(job.job_id)
    assert event.event["data"]["attempt"] == 2
    queue.wait_until_empty()


def test_an_outage_of_sqs_neither_ends_the_worker_nor_makes_it_run_hot(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox
) -> None:
    before = len(worker.logs("receive_failed"))
    gateway.go_down()
    worker.wait_for_log("receive_failed", count=before + 3, within_s=90)
    assert worker.ask("/livez")[0] == 200
    assert worker.ask("/readyz")[0] == 200
    pauses = [
        datetime.fromisoformat(x["timestamp"]) for x in worker.logs("receive_failed")[before:]
    ]
    assert pauses[2] - pauses[0] >= timedelta(seconds=1)
    gateway.come_back()
    still_works(worker, queue, inbox, "after-the-outage")


def test_a_busy_worker_stops_polling_and_is_alive(
    worker: WorkerProcess, gateway: Gateway, queue: TestQueue, inbox: Inbox, tmp_path: Path
) -> None:
    queue.wait_until_empty()
    jobs = [Held(inbox, tmp_path, f"busy{i}") for i in range(3)]
    for job in jobs:
        job.send(queue)
    # One slot: one job runs, one waits read ahead, and the third is not asked for.
    wait_for(lambda: queue.depth() == (1, 2), within_s=30, what="two taken", seen=queue.depth)
    calls = gateway.count("ReceiveMessage")
    renewals = worker.metric("analysis_worker_lease_renewals_total")
    wait_for(
        lambda: worker.metric("analysis_worker_lease_renewals_total") >= renewals + 4,
        within_s=30,
        what="two renewals of both leases",
    )
    assert gateway.count("ReceiveMessage") == calls
    assert queue.depth() == (1, 2)
    assert sum(job.starts for job in jobs) == 1
    assert worker.ask("/livez")[0] == 200
    for job in jobs:
        job.let_go()
    for job in jobs:
        (event,) = inbox.wait(job.job_id)
        assert event.event["data"]["attempt"] == 1
    queue.wait_until_empty()


@dataclass
class CredentialsEndpoint:
    """What ECS's agent is to a task: short-lived credentials, others at each asking."""

    url: str
    handed_out: list[str] = field(default_factory=list)


@pytest.fixture
def credentials() -> Iterator[CredentialsEndpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = f"ROTATED{len(endpoint.handed_out)}"
            endpoint.handed_out.append(key)
            # Within the SDK's margin of ten minutes: refreshed before each use.
            until = datetime.now(UTC) + timedelta(seconds=60)
            data = json.dumps(
                {
                    "AccessKeyId": key,
                    "SecretAccessKey": "secret",
                    "Token": "token",
                    "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            ).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = CredentialsEndpoint(f"http://127.0.0.1:{server.server_address[1]}/credentials")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield endpoint
    server.shutdown()
    thread.join()
    server.server_close()


def test_credentials_of_a_role_rotate_without_a_restart(
    account: Account,
    gateway: Gateway,
    launch: Launch,
    inbox: Inbox,
    credentials: CredentialsEndpoint,
) -> None:
    def only_fresh(request: AwsRequest) -> Fault | None:
        if not request.access_key.startswith("ROTATED"):
            return None
        current = credentials.handed_out[-1:]
        return None if [request.access_key] == current else Fault(403, "ExpiredTokenException")

    queue = account.queue()
    gateway.rules.append(only_fresh)
    worker = launch(
        queue.url,
        endpoint=gateway.url,
        environment={
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials.url,
        },
    )
    for i in range(2):
        handed_out = len(credentials.handed_out)
        wait_for(
            lambda n=handed_out: len(credentials.handed_out) > n,  # type: ignore[misc]
            within_s=30,
            what="rotation",
        )
        job = Script(inbox, f"rotated{i}")
        job.send(queue)
        inbox.wait(job.job_id, "analysis.completed", within_s=60)
    queue.wait_until_empty(within_s=60)
    used = {r.access_key for r in gateway.seen if r.access_key.startswith("ROTATED")}
    assert len(used) >= 3
    assert worker.stop() == 0
