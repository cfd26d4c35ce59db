"""Computed once, kept, and delivered until somebody has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.account import Account, TestQueue
from tests.integration.conftest import Launch
from tests.integration.gateway import AwsRequest, Fault, Gateway
from tests.integration.inbox import Inbox
from tests.integration.scripts import Held, Script
from tests.integration.waiting import wait_for
from tests.integration.worker_process import WorkerProcess


@pytest.fixture(scope="module")
def queue(account: Account) -> TestQueue:
    return account.queue(max_receives=5)


@pytest.fixture(scope="module")
def bucket(account: Account) -> str:
    return account.bucket()


@pytest.fixture(scope="module")
def workers(module_launch: Launch, queue: TestQueue, bucket: str) -> list[WorkerProcess]:
    """Two workers on one queue and one results bucket, each with room for two jobs at once."""
    started = [
        module_launch(queue.url, results_bucket=bucket, concurrency=2, wait=False) for _ in range(2)
    ]
    return [worker.wait_until_ready() for worker in started]


def times_run(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def stored(account: Account, bucket: str, job_id: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(account.read(bucket, f"results/{job_id}.json"))
    return event


@pytest.mark.usefixtures("workers")
def test_a_result_is_kept_marked_delivered_and_no_longer_listed_as_undelivered(
    account: Account, queue: TestQueue, bucket: str, inbox: Inbox, tmp_path: Path
) -> None:
    job = Script(inbox, "kept", f"note {tmp_path / 'runs'}")
    job.send(queue)
    (delivery,) = inbox.wait(job.job_id)
    queue.wait_until_empty()
    assert stored(account, bucket, job.job_id) == delivery.event
    location = f"s3://{bucket}/results/{job.job_id}.json"
    assert delivery.event["data"]["result_location"] == location
    assert f"results/delivered/{job.job_id}.json" in account.keys(bucket)
    assert account.keys(bucket, f"results/undelivered/{job.job_id}") == []


def test_a_job_sent_again_after_its_delivery_is_just_deleted(
    workers: list[WorkerProcess], queue: TestQueue, inbox: Inbox, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    job = Script(inbox, "again", f"note {runs}")
    job.send(queue)
    inbox.wait(job.job_id)
    queue.wait_until_empty()
    job.send(queue)
    queue.wait_until_empty()
    assert any(worker.logs("already_delivered", job_id=job.job_id) for worker in workers)
    assert times_run(runs) == 1
    assert len(inbox.of(job.job_id)) == 1


@pytest.mark.usefixtures("workers")
def test_a_result_not_taken_is_listed_and_then_delivered_unchanged_with_no_second_analysis(
    account: Account, queue: TestQueue, bucket: str, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    with Inbox() as late:
        # Three refusals are one receive's attempts; the next receive brings the same event.
        late.answer_next(503, 503, 503)
        job = Script(late, "late", f"note {runs}")
        job.send(queue)
        wait_for(
            lambda: account.keys(bucket, f"results/undelivered/{job.job_id}"),
            within_s=30,
            what="listing under undelivered/",
        )
        deliveries = late.wait(job.job_id, "analysis.completed", count=4, within_s=60)
        queue.wait_until_empty()
    assert [d.answered for d in deliveries] == [503, 503, 503, 204]
    assert len({(d.event_id, d.body) for d in deliveries}) == 1
    assert times_run(runs) == 1
    assert account.keys(bucket, f"results/undelivered/{job.job_id}") == []


@pytest.mark.usefixtures("workers")
def test_a_result_whose_webhook_is_gone_is_kept_and_no_longer_listed_as_undelivered(
    account: Account, queue: TestQueue, bucket: str
) -> None:
    with Inbox() as gone:
        gone.answer_next(410)
        job = Script(gone, "gone")
        job.send(queue)
        queue.wait_until_empty()
        assert [d.type for d in gone.of(job.job_id)] == ["analysis.completed"]
    assert stored(account, bucket, job.job_id)["type"] == "analysis.completed"
    assert account.keys(bucket, f"results/undelivered/{job.job_id}") == []


@pytest.mark.usefixtures("workers")
def test_of_two_analyses_of_one_job_the_first_that_is_stored_is_the_one_delivered(
    account: Account, queue: TestQueue, bucket: str, inbox: Inbox, tmp_path: Path
) -> None:
    job = Held(inbox, tmp_path, "twice")
    job.send(queue)
    wait_for(lambda: job.starts == 1, within_s=30, what="first start")
    job.send(queue)
    wait_for(lambda: job.starts == 2, within_s=30, what="second start")
    job.let_go()
    inbox.wait(job.job_id, "analysis.completed")
    queue.wait_until_empty()
    deliveries = inbox.of(job.job_id)
    # The process id in the result tells the two analyses apart; only one of them is ever seen.
    assert len({(d.event_id, d.body) for d in deliveries}) == 1
    assert stored(account, bucket, job.job_id) == deliveries[0].event


def test_equal_inputs_under_another_name_are_answered_from_the_cache(
    workers: list[WorkerProcess], queue: TestQueue, inbox: Inbox, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    first, equal = (Script(inbox, name, f"note {runs}") for name in ("first", "equal"))
    other = Script(inbox, "other", f"note {runs}", "say something else")
    for job in (first, equal, other):
        job.send(queue)
        inbox.wait(job.job_id, "analysis.completed")
    assert times_run(runs) == 2
    assert any(worker.logs("result_from_cache", job_id=equal.job_id) for worker in workers)
    results = [inbox.of(job.job_id)[0].event["data"]["result"] for job in (first, equal)]
    assert results[0] == results[1]
    assert inbox.of(first.job_id)[0].event_id != inbox.of(equal.job_id)[0].event_id


def test_without_a_bucket_a_job_sent_twice_is_told_twice_under_one_id(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue()
    launch(queue.url)
    job = Script(inbox, "bucketless")
    job.send(queue)
    job.send(queue)
    deliveries = inbox.wait(job.job_id, "analysis.completed", count=2)
    assert len({d.event_id for d in deliveries}) == 1
    assert deliveries[0].event["data"]["result_location"] is None


def test_an_event_too_large_for_a_webhook_goes_without_its_bulk(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue, bucket = account.queue(), account.bucket()
    launch(queue.url, results_bucket=bucket)
    job = Script(inbox, "bulky", "pad 100000")
    job.send(queue)
    (delivery,) = inbox.wait(job.job_id)
    assert "padding" not in delivery.event["data"]["result"]
    assert len(delivery.body) < 64 * 1024
    whole = stored(account, bucket, job.job_id)
    assert len(whole["data"]["result"]["padding"]) == 100_000


def test_a_delivered_mark_that_cannot_be_written_fails_no_job(
    account: Account, launch: Launch, gateway: Gateway, inbox: Inbox, tmp_path: Path
) -> None:
    queue, bucket = account.queue(max_receives=1), account.bucket()

    def no_mark(request: AwsRequest) -> Fault | None:
        is_mark = request.operation == "PUT" and "/results/delivered/" in request.path
        return Fault(403, "AccessDenied") if is_mark else None

    gateway.rules.append(no_mark)
    worker = launch(queue.url, endpoint=gateway.url, results_bucket=bucket)
    job = Script(inbox, "unmarked", f"note {tmp_path / 'runs'}")
    job.send(queue)
    inbox.wait(job.job_id)
    worker.wait_for_log("delivered_mark_not_written", job_id=job.job_id)
    queue.wait_until_empty()
    assert [d.event["type"] for d in inbox.of(job.job_id)] == ["analysis.completed"]
    assert queue.dead_letters_now() == []
    assert account.keys(bucket, f"results/undelivered/{job.job_id}") != []


@pytest.mark.parametrize("job_timeout_s", [5, 600])
def test_a_delivered_job_has_not_failed_though_its_mark_takes_too_long(
    account: Account, launch: Launch, gateway: Gateway, inbox: Inbox, job_timeout_s: int
) -> None:
    queue, bucket = account.queue(max_receives=1), account.bucket()
    gateway.rules.append(lambda r: Fault(delay_s=60) if "/results/delivered/" in r.path else None)
    worker = launch(
        queue.url, endpoint=gateway.url, results_bucket=bucket, job_timeout_s=job_timeout_s
    )
    job = Script(inbox, "slow-mark")
    job.send(queue)
    worker.wait_for_log("delivered_mark_not_written", job_id=job.job_id, error="TimeoutError")
    queue.wait_until_empty()
    assert worker.wait_for_log("job_done")[0]["outcome"] == "completed"
    assert [d.event["type"] for d in inbox.of(job.job_id)] == ["analysis.completed"]
    assert queue.dead_letters_now() == []


def test_a_delivered_job_is_just_deleted_even_where_its_webhook_is_no_longer_allowed(
    account: Account, launch: Launch, inbox: Inbox, tmp_path: Path
) -> None:
    queue, bucket = account.queue(max_receives=2), account.bucket()
    first = launch(queue.url, results_bucket=bucket)
    job = Script(inbox, "narrowed", f"note {tmp_path / 'runs'}")
    job.send(queue)
    inbox.wait(job.job_id)
    queue.wait_until_empty()
    first.stop()
    second = launch(queue.url, results_bucket=bucket, webhook_allowed_hosts="consumer.example.com")
    job.send(queue)
    second.wait_for_log("already_delivered", job_id=job.job_id)
    queue.wait_until_empty()
    assert queue.dead_letters_now() == []
    assert len(inbox.of(job.job_id)) == 1


def events_in(account: Account, queue: TestQueue) -> list[tuple[str, str]]:
    """Type and id of every event in a results queue, which is then empty."""
    found = []
    while messages := account.sqs.receive_message(
        QueueUrl=queue.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        for message in messages:
            values = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
            found.append((values["event_type"], values["webhook-id"]))
            account.sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
    return found


@pytest.mark.parametrize(
    ("answer", "receives", "told"),
    # One that fails six times is left alone, so that the failed event does not get there.
    [(410, 1, []), (422, 1, ["analysis.failed"]), (500, 2, [])],
)
def test_a_results_queue_that_took_a_result_hears_of_no_failure_of_the_webhook(
    account: Account, launch: Launch, answer: int, receives: int, told: list[str]
) -> None:
    queue, answers = account.queue(max_receives=2), account.queue(dead_letters=False)
    launch(queue.url, result_queue_url=answers.url)
    with Inbox() as refusing:
        job = Script(refusing, "refused", hook=f"answer/{answer}")
        job.send(queue)
        (letter,) = queue.dead_letters()
        assert letter.attributes["event_delivered"] == "false"
        assert {d.type for d in refusing.of(job.job_id)} == {"analysis.completed", *told}
    events = events_in(account, answers)
    assert [kind for kind, _ in events] == ["analysis.completed"] * receives
    assert len({event_id for _, event_id in events}) == 1


def test_a_results_queue_gets_a_stored_result_whatever_has_become_of_the_webhook(
    account: Account, launch: Launch, gateway: Gateway, inbox: Inbox
) -> None:
    queue, answers = account.queue(max_receives=2), account.queue(dead_letters=False)
    gateway.rules.append(lambda r: Fault(503) if r.operation == "SendMessage" else None)
    options: dict[str, Any] = {
        "results_bucket": account.bucket(),
        "result_queue_url": answers.url,
    }
    first = launch(queue.url, endpoint=gateway.url, **options)
    job = Script(inbox, "narrowed")
    job.send(queue)
    first.wait_for_log("job_backed_off", job_id=job.job_id)
    first.stop()
    launch(queue.url, webhook_allowed_hosts="consumer.example.com", **options)
    (letter,) = queue.dead_letters()
    assert letter.code == "url_refused"
    assert [kind for kind, _ in events_in(account, answers)] == ["analysis.completed"]
    assert inbox.of(job.job_id) == []
