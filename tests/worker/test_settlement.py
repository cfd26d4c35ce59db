"""The table of settlements, row by row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.worker.settlement_bench import (
    MAX_RECEIVES,
    RETRY_DELAY_S,
    Bench,
)
from tests.worker.sqs_model import Points
from worker.failures import CODES, ErrorCode, JobFailure, LeaseLost, Policy
from worker.quotas import MAX_MESSAGE_BYTES, MAX_VISIBILITY_S
from worker.settlement import Action, Settlement, back_off_s, decide
from worker.transport import MAX_RETRY_AFTER_S


def failure(code: ErrorCode = ErrorCode.STORAGE_UNAVAILABLE, **options: Any) -> JobFailure:
    return JobFailure(code, f"what happened: {code}", **options)


# --- scored, event accepted: delete


async def test_a_job_whose_event_was_accepted_is_deleted() -> None:
    bench = Bench()
    await bench.settlement.succeeded(bench.lease)
    assert bench.queue.settlements == ["delete"]
    assert bench.message_id in bench.model.deleted
    assert len(bench.leases) == 0
    assert bench.counted("completed", "none") == 1


async def test_a_delete_that_fails_leaves_the_message_to_come_back() -> None:
    bench = Bench()
    bench.fail_calls("delete")
    await bench.settlement.succeeded(bench.lease)
    assert bench.message_id in bench.model.queue
    assert len(bench.leases) == 0


# --- the input is wrong for ever: tell, copy, delete


@pytest.mark.parametrize("code", [c for c in CODES if CODES[c].policy is Policy.PERMANENT])
async def test_a_permanent_failure_is_told_copied_and_then_deleted(code: ErrorCode) -> None:
    bench = Bench()
    decision = await bench.settlement.failed(bench.lease, failure(code))
    assert decision.action is Action.DEAD_LETTER
    assert bench.queue.settlements == ["dead_letter", "delete"]
    is_told = code not in (ErrorCode.WEBHOOK_GONE, ErrorCode.URL_REFUSED)
    assert len(bench.events) == is_told
    assert bench.letter["error_code"] == code
    assert bench.letter["event_delivered"] == ("true" if is_told else "false")
    assert bench.counted("dead_lettered", code) == 1


async def test_nothing_is_told_where_there_is_no_usable_address() -> None:
    for body in ("not json", "[]", '{"webhook_url": "https://consumer.test"}', '{"job_id": "j"}'):
        bench = Bench(body=body)
        await bench.settlement.failed(bench.lease, failure(ErrorCode.INVALID_MESSAGE))
        assert bench.consumer.sent == []
        assert bench.letter["event_delivered"] == "false"


async def test_a_results_queue_is_told_even_where_the_webhook_is_refused() -> None:
    bench = Bench(has_other=True)
    await bench.settlement.failed(bench.lease, failure(ErrorCode.URL_REFUSED))
    ((url, _),) = bench.consumer.sent
    assert url is None
    assert bench.letter["event_delivered"] == "true"


@pytest.mark.parametrize(
    "refusal", [failure(ErrorCode.WEBHOOK_REJECTED), failure(ErrorCode.WEBHOOK_UNAVAILABLE)]
)
async def test_a_results_queue_that_has_the_result_is_told_of_no_failure(
    refusal: JobFailure,
) -> None:
    bench = Bench(has_other=True, receive_count=MAX_RECEIVES)
    await bench.settlement.failed(bench.lease, refusal, result_queue_has_it=True)
    ((url, _),) = bench.consumer.sent
    assert url == "https://consumer.test/hook"
    assert bench.consumer.sent_to_webhook_alone == 1


async def test_nobody_is_told_where_the_webhook_is_gone_and_the_queue_has_the_result() -> None:
    bench = Bench(has_other=True)
    await bench.settlement.failed(
        bench.lease, failure(ErrorCode.WEBHOOK_GONE), result_queue_has_it=True
    )
    assert bench.consumer.sent == []
    assert bench.letter["event_delivered"] == "false"


# --- may work later: back off; on the last receive tell and dead-letter


@pytest.mark.parametrize("receive_count", [1, 2, 3])
async def test_a_retryable_failure_is_backed_off_and_not_told(receive_count: int) -> None:
    bench = Bench(receive_count=receive_count)
    decision = await bench.settlement.failed(bench.lease, failure())
    assert decision.action is Action.BACK_OFF
    ((name, delay_s),) = bench.queue.calls
    assert name == "back_off"
    least = RETRY_DELAY_S * 2 ** (receive_count - 1)
    assert least <= delay_s <= least * 1.1
    assert bench.consumer.sent == []
    assert len(bench.leases) == 0
    assert bench.counted("retried", "storage_unavailable") == 1


@pytest.mark.parametrize("code", [c for c in CODES if CODES[c].policy is Policy.RETRY])
async def test_the_last_receive_tells_the_real_cause_and_dead_letters(code: ErrorCode) -> None:
    bench = Bench(receive_count=MAX_RECEIVES)
    await bench.settlement.failed(bench.lease, failure(code))
    assert bench.queue.settlements == ["dead_letter", "delete"]
    (event,) = bench.events
    assert event["type"] == "analysis.failed"
    assert event["data"]["attempt"] == MAX_RECEIVES
    assert event["data"]["error"]["code"] == ErrorCode.RETRIES_EXHAUSTED
    assert event["data"]["error"]["cause"] == code
    assert bench.letter["error_code"] == ErrorCode.RETRIES_EXHAUSTED
    assert bench.letter["error_cause"] == code
    assert bench.letter["receive_count"] == str(MAX_RECEIVES)


@pytest.mark.parametrize("code", [c for c in CODES if CODES[c].policy is Policy.RETRY_LIMITED])
async def test_a_lost_or_stuck_process_is_tried_three_times_at_most(code: ErrorCode) -> None:
    for receive_count, action in ((2, Action.BACK_OFF), (3, Action.DEAD_LETTER)):
        bench = Bench(receive_count=receive_count)
        assert (await bench.settlement.failed(bench.lease, failure(code))).action is action


@pytest.mark.parametrize("asked_s", [200, MAX_RETRY_AFTER_S])
async def test_the_wait_that_a_consumer_asked_for_is_kept_beyond_the_cap_too(
    asked_s: float,
) -> None:
    bench = Bench()
    await bench.settlement.failed(
        bench.lease, failure(ErrorCode.WEBHOOK_UNAVAILABLE, retry_after_s=asked_s)
    )
    ((_, delay_s),) = bench.queue.calls
    assert asked_s <= delay_s <= 1.1 * asked_s


async def test_renewal_has_stopped_when_a_back_off_sets_the_visibility() -> None:
    bench = Bench()
    held_at_the_call: list[int] = []
    change = bench.model.change_visibility

    def noting(handle: str, seconds: float) -> bool:
        held_at_the_call.append(len(bench.leases))
        return change(handle, seconds)

    bench.model.change_visibility = noting  # type: ignore[method-assign]
    await bench.settlement.failed(bench.lease, failure())
    assert held_at_the_call == [0]
    bench.clock.now += 30
    await bench.leases.renew_due()
    assert bench.queue.settlements == ["back_off"]
    assert all(name != "extend" for name, _ in bench.queue.calls)


async def test_no_back_off_is_longer_than_sqs_lets_a_message_be_invisible() -> None:
    bench = Bench()
    bench.clock.now += 3600
    long = Settlement(
        bench.leases,
        bench.consumer,
        retry_delay_s=MAX_VISIBILITY_S,
        retry_max_delay_s=MAX_VISIBILITY_S,
        metrics=bench.metrics,
    )
    bench.lease.expires_at = bench.clock.now + 60  # it has been renewed all the while
    await long.back_off(bench.lease, failure())
    ((name, delay_s),) = bench.queue.calls
    assert name == "back_off"
    assert MAX_VISIBILITY_S - 3600 - 60 < delay_s < MAX_VISIBILITY_S - 3600


async def test_a_back_off_that_sqs_refuses_is_left_to_the_visibility_timeout() -> None:
    bench = Bench()
    bench.fail_calls("back_off")
    await bench.settlement.failed(bench.lease, failure())
    assert bench.message_id in bench.model.queue


# --- the failed event itself cannot be delivered


async def test_a_failed_event_that_is_not_taken_is_retried_like_a_result() -> None:
    bench = Bench()
    bench.fail_calls("send")
    decision = await bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
    assert decision.action is Action.BACK_OFF
    assert bench.queue.settlements == ["back_off"]
    assert bench.counted("retried", "webhook_unavailable") == 1


async def test_a_wait_that_the_consumer_asks_for_is_kept_for_the_failed_event_too() -> None:
    bench = Bench()

    class Busy(Points):
        async def stop_at(
            self, name: str, effect: Callable[[], Any], error: Callable[[], BaseException]
        ) -> Any:
            if name == "send":
                raise failure(ErrorCode.WEBHOOK_UNAVAILABLE, retry_after_s=600)
            return effect()

    bench.consumer.points = Busy()
    began = bench.clock.now
    await bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
    assert bench.model.queue[bench.message_id].visible_at >= began + 600


@pytest.mark.parametrize("code", [ErrorCode.WORKER_LOST, ErrorCode.TIMEOUT])
async def test_a_poison_job_is_not_run_again_for_the_sake_of_its_failed_event(
    code: ErrorCode,
) -> None:
    bench = Bench(receive_count=3)
    bench.fail_calls("send")
    decision = await bench.settlement.failed(bench.lease, failure(code))
    assert decision.action is Action.DEAD_LETTER
    assert bench.letter["event_delivered"] == "false"


async def test_on_the_last_receive_it_is_dead_lettered_untold() -> None:
    bench = Bench(receive_count=MAX_RECEIVES)
    bench.fail_calls("send")
    await bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
    assert bench.queue.settlements == ["dead_letter", "delete"]
    assert bench.letter["error_code"] == ErrorCode.NOT_FOUND
    assert bench.letter["event_delivered"] == "false"


async def test_a_failed_event_that_cannot_even_be_sent_ends_as_a_dead_letter_with_its_reason() -> (
    None
):
    class Broken(Points):
        async def stop_at(
            self, name: str, effect: Callable[[], Any], error: Callable[[], BaseException]
        ) -> Any:
            if name == "send":
                raise TypeError("Integer exceeds 64-bit range")
            return effect()

    for receive_count, settlements in (
        (1, ["back_off"]),
        (MAX_RECEIVES, ["dead_letter", "delete"]),
    ):
        bench = Bench(receive_count=receive_count)
        bench.consumer.points = Broken()
        await bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
        assert bench.queue.settlements == settlements
    assert bench.letter["error_code"] == ErrorCode.NOT_FOUND
    assert bench.letter["event_delivered"] == "false"


@pytest.mark.parametrize("cause", [ErrorCode.WEBHOOK_GONE, ErrorCode.URL_REFUSED])
async def test_none_is_sent_after_gone_or_refused(cause: ErrorCode) -> None:
    bench = Bench()
    await bench.settlement.failed(bench.lease, failure(cause))
    assert bench.consumer.sent == []


# --- copy first, delete after


async def test_a_message_that_could_not_be_copied_is_not_deleted() -> None:
    bench = Bench()
    bench.fail_calls("dead_letter")
    decision = await bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
    assert decision.action is Action.BACK_OFF
    assert bench.queue.settlements == ["dead_letter", "back_off"]
    assert bench.message_id in bench.model.queue


async def test_a_last_receive_that_could_not_be_copied_is_counted_under_its_real_code() -> None:
    bench = Bench(receive_count=MAX_RECEIVES)
    bench.fail_calls("dead_letter")
    await bench.settlement.failed(bench.lease, failure())
    assert bench.counted("retried", "storage_unavailable") == 1


async def test_a_body_that_leaves_no_room_for_a_reason_is_left_to_sqs() -> None:
    bench = Bench(body="x" * (MAX_MESSAGE_BYTES - 10))
    decision = await bench.settlement.failed(bench.lease, failure(ErrorCode.INVALID_JSON))
    assert decision.action is Action.BACK_OFF
    assert bench.queue.settlements == ["back_off"]
    assert bench.message_id in bench.model.queue
    assert bench.counted("retried", "invalid_json") == 1


async def test_without_a_dead_letter_queue_a_permanent_failure_is_logged_and_deleted() -> None:
    bench = Bench(has_dead_letters=False)
    await bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
    assert bench.queue.settlements == ["delete"]
    assert len(bench.events) == 1


async def test_without_a_dead_letter_queue_a_retryable_failure_is_tried_again() -> None:
    bench = Bench(has_dead_letters=False, receive_count=MAX_RECEIVES)
    await bench.settlement.failed(bench.lease, failure())
    assert bench.queue.settlements == ["back_off"]


# --- lease lost: settle nothing


async def lose_by_age(bench: Bench) -> None:
    bench.clock.now += 60


async def lose_by_return(bench: Bench) -> None:
    bench.leases.take(bench.lease.message)


@pytest.mark.parametrize("lose", [lose_by_age, lose_by_return])
@pytest.mark.parametrize(
    "settle",
    [
        lambda bench: bench.settlement.succeeded(bench.lease),
        lambda bench: bench.settlement.failed(bench.lease, failure()),
        lambda bench: bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND)),
        lambda bench: bench.settlement.hand_back(bench.lease),
    ],
    ids=["succeeded", "retry", "permanent", "hand_back"],
)
async def test_nothing_is_settled_or_told_once_the_lease_is_lost(
    lose: Callable[[Bench], Any], settle: Callable[[Bench], Any]
) -> None:
    bench = Bench()
    await lose(bench)
    with pytest.raises(LeaseLost):
        await settle(bench)
    assert bench.queue.settlements == []
    assert bench.consumer.sent == []


async def test_a_lease_lost_while_the_failed_event_was_sent_ends_the_settlement() -> None:
    bench = Bench()
    bench.consumer.points = Points()
    settling = asyncio.create_task(
        bench.settlement.failed(bench.lease, failure(ErrorCode.NOT_FOUND))
    )
    await asyncio.sleep(0)
    bench.clock.now += 61
    bench.consumer.points.pending[0].future.set_result(None)
    with pytest.raises(LeaseLost):
        await settling
    assert bench.queue.settlements == []


# --- shutting down


async def test_a_hand_back_that_sqs_refuses_is_not_counted_as_one() -> None:
    bench = Bench()
    bench.fail_calls("back_off")
    assert await bench.settlement.hand_back(bench.lease) is False
    assert bench.counted("released", "") is None


async def test_an_unstarted_message_is_given_back_at_once() -> None:
    bench = Bench()
    await bench.settlement.hand_back(bench.lease)
    assert bench.queue.calls == [("back_off", 0)]
    assert bench.model.queue[bench.message_id].visible_at == bench.clock.now
    assert bench.counted("released", "none") == 1


# --- the two rules as functions


def test_permanent_wins_over_retry_on_every_receive() -> None:
    for count in (1, MAX_RECEIVES):
        decision = decide(
            failure(ErrorCode.NOT_FOUND), receive_count=count, max_receives=MAX_RECEIVES
        )
        assert decision.action is Action.DEAD_LETTER
        assert decision.failure.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("receive_count", "least_s"), [(1, 60), (2, 120), (3, 240), (4, 480), (5, 900), (1000, 900)]
)
def test_the_back_off_doubles_up_to_its_cap_with_a_tenth_of_jitter(
    receive_count: int, least_s: float
) -> None:
    low = back_off_s(receive_count, first_s=60, longest_s=900, draw=lambda: 0.0)
    high = back_off_s(receive_count, first_s=60, longest_s=900, draw=lambda: 1.0)
    assert low == least_s
    assert high == pytest.approx(least_s * 1.1)
