"""The inbox of the load test counts each job once, and times from the job it was told to."""

import json
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.bench import load_inbox
from scripts.bench.load_inbox import InboxClient


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InboxClient]:
    with load_inbox.running(Path(tmp_path_factory.mktemp("inbox"))) as client:
        yield client


@pytest.fixture
def inbox(started: InboxClient) -> InboxClient:
    started.forget()
    return started


def post(inbox: InboxClient, body: bytes) -> None:
    request = urllib.request.Request(inbox.webhook, body, method="POST")
    with urllib.request.urlopen(request, timeout=5) as reply:
        assert reply.status == 204


def event(job_id: str) -> bytes:
    return json.dumps({"type": "analysis.completed", "data": {"job_id": job_id}}).encode()


def test_a_job_that_comes_twice_is_one_job_and_two_posts(inbox: InboxClient) -> None:
    for job_id in ("bench-1", "bench-2", "bench-1"):
        post(inbox, event(job_id))
    count = inbox.count()
    assert (count.posts, count.jobs, count.nameless) == (3, 2, 0)
    assert count.body_bytes == len(event("bench-1"))


def test_a_post_that_names_no_job_is_counted_as_such(inbox: InboxClient) -> None:
    post(inbox, b"{}")
    count = inbox.count()
    assert (count.posts, count.jobs, count.nameless) == (1, 0, 1)


def test_waiting_ends_with_the_last_job_and_not_before(inbox: InboxClient) -> None:
    post(inbox, event("bench-1"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(inbox.wait_for, 2, timeout_s=10)
        time.sleep(0.05)
        assert not waiting.done()
        post(inbox, event("bench-2"))
        assert waiting.result(timeout=10).jobs == 2


def test_waiting_for_too_many_says_how_many_came(inbox: InboxClient) -> None:
    post(inbox, event("bench-1"))
    with pytest.raises(TimeoutError, match="1 of 3 jobs"):
        inbox.wait_for(3, timeout_s=0.2)


def test_the_clock_starts_at_the_job_that_it_was_told_to(inbox: InboxClient) -> None:
    post(inbox, event("bench-1"))
    time.sleep(0.3)
    for number in (2, 3, 4):
        post(inbox, event(f"bench-{number}"))
    whole = inbox.wait_for(4, timeout_s=5)
    timed = inbox.wait_for(4, timeout_s=5, untimed=2)
    assert whole.took_s >= 0.3 > timed.took_s > 0
    assert timed.jobs_per_s == pytest.approx(2 / timed.took_s)


def test_it_forgets(inbox: InboxClient) -> None:
    post(inbox, event("bench-1"))
    inbox.forget()
    count = inbox.count()
    assert (count.posts, count.jobs, count.took_s) == (0, 0, 0.0)
