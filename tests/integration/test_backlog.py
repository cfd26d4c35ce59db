"""A consumer that is slow or paced, and the jobs of another in the same queue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.account import Account
from tests.integration.conftest import Launch
from tests.integration.inbox import Inbox
from tests.integration.scripts import Script

BURST = 24


@pytest.mark.parametrize(
    ("hook", "settings", "keeps_results"),
    [("after/0.5", {}, True), ("hook", {"webhook_max_rps": 2}, False)],
    ids=["slow", "paced"],
)
def test_the_jobs_of_another_consumer_do_not_wait_for_those_of_a_slow_one(  # noqa: PLR0917
    account: Account,
    launch: Launch,
    inbox: Inbox,
    other_inbox: Inbox,
    hook: str,
    settings: dict[str, Any],
    keeps_results: bool,
) -> None:
    """Two events a second are taken; a burst that alone needs twelve seconds is ahead in the queue.

    Eight places: the slow consumer's part is four, and the rest of its jobs wait in the queue.
    """
    queue = account.queue(max_receives=6)
    if keeps_results:
        settings = settings | {"results_bucket": account.bucket()}
    launch(queue.url, delivery_concurrency=2, **settings)
    known = Script(other_inbox, "known")
    known.send(queue)
    other_inbox.wait(known.job_id)
    before = len(inbox.deliveries)
    burst = [
        Script(inbox, f"slow-{number}", "refuse audio_empty" if number % 2 else "say ok", hook=hook)
        for number in range(BURST)
    ]
    for script in burst:
        script.send(queue)
    quick = [Script(other_inbox, f"quick-{number}") for number in range(3)]
    for script in quick:
        script.send(queue)
    for script in quick:
        other_inbox.wait(script.job_id)
    assert len(inbox.deliveries) - before < BURST / 2
    for number, script in enumerate(burst):
        (delivery,) = inbox.wait(script.job_id, within_s=60)
        assert delivery.type == ("analysis.failed" if number % 2 else "analysis.completed")
    queue.wait_until_empty()
    # What is wrong with them is all that is said of them: none waited until its last receive.
    letters = queue.dead_letters(BURST // 2)
    assert {(letter.code, letter.attributes["event_delivered"]) for letter in letters} == {
        ("audio_empty", "true")
    }


def test_a_slow_consumer_that_is_alone_costs_no_job_a_receive(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue(max_receives=6)
    worker = launch(queue.url, delivery_concurrency=1)
    burst = [Script(inbox, f"alone-{number}", hook="after/0.2") for number in range(16)]
    for script in burst:
        script.send(queue)
    for script in burst:
        inbox.wait(script.job_id)
    worker.wait_for_log("job_done", count=len(burst))
    assert {line["receive_count"] for line in worker.logs("job_done")} == {1}
