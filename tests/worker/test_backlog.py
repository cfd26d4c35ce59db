"""Which scored job has a place to be delivered, which waits for one, and which comes back."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from worker.backlog import (
    MAX_AHEAD_S,
    NO_CONSUMER,
    Backlog,
    Full,
    Place,
    can_come_back,
)
from worker.failures import ErrorCode, JobFailure
from worker.ratelimit import MAX_WAIT_S
from worker.remembered import MAX_CONSUMERS, MEMORY_S
from worker.settlement import Action, decide


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def take(
    backlog: Backlog, consumer: str, stack: ExitStack, count: int, *, can_come_back: bool = True
) -> None:
    for _ in range(count):
        async with asyncio.timeout(1):
            stack.enter_context(await backlog.place(consumer, can_come_back=can_come_back))


async def meet(backlog: Backlog, *consumers: str) -> None:
    """Have them known."""
    for consumer in consumers:
        with await backlog.place(consumer, can_come_back=True):
            pass


async def begin(
    backlog: Backlog, consumer: str, *, can_come_back: bool = True
) -> asyncio.Task[Place]:
    """Ask for a place that is not to be had at once."""
    task = asyncio.create_task(backlog.place(consumer, can_come_back=can_come_back))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_among_several_one_consumer_has_half_of_what_the_others_leave() -> None:
    backlog = Backlog(16)
    await meet(backlog, "a", "b")
    with ExitStack() as stack:
        await take(backlog, "a", stack, 8)
        with pytest.raises(Full):
            await backlog.place("a", can_come_back=True)
        with pytest.raises(Full):
            backlog.check("a", can_come_back=True)
        await take(backlog, "b", stack, 4)
        with pytest.raises(Full):
            await backlog.place("b", can_come_back=True)
        await take(backlog, "c", stack, 2)
    assert backlog.taken == 0


async def test_a_consumer_that_is_alone_makes_its_jobs_wait_and_leaves_room_for_a_first_other() -> (
    None
):
    backlog = Backlog(16)
    with ExitStack() as stack:
        await take(backlog, "a", stack, 12)
        waiting = await begin(backlog, "a")
        assert not waiting.done()
        with ExitStack() as other:
            await take(backlog, "b", other, 1)
            with pytest.raises(Full):  # b would have to wait for what waits for a
                await waiting
    assert backlog.taken == 0


async def test_a_job_that_cannot_come_back_may_have_more_and_then_waits() -> None:
    backlog = Backlog(16)
    await meet(backlog, "a", "b")
    with ExitStack() as stack:
        await take(backlog, "a", stack, 8)
        await take(backlog, "a", stack, 4, can_come_back=False)
        waiting = await begin(backlog, "a", can_come_back=False)
        await meet(backlog, "c")
        assert not waiting.done()
        stack.close()
        with await waiting:
            assert backlog.taken == 1
    assert backlog.taken == 0


@pytest.mark.parametrize(
    ("receive_count", "max_receives", "may"),
    [(1, None, True), (2, None, False), (1, 3, False), (1, 4, True), (1, 6, True), (2, 6, False)],
)
def test_its_first_receive_a_job_may_spend_on_waiting_where_others_are_left(
    receive_count: int, max_receives: int | None, may: bool
) -> None:
    assert can_come_back(receive_count, max_receives) is may


@pytest.mark.parametrize("max_receives", [4, 6, 10])
def test_an_analysis_that_crashes_after_the_wait_is_tried_again(max_receives: int) -> None:
    crash = JobFailure(ErrorCode.WORKER_LOST, "lost")
    first_analysis = next(n for n in range(1, 9) if not can_come_back(n, max_receives))
    decision = decide(crash, receive_count=first_analysis, max_receives=max_receives)
    assert decision.action is Action.BACK_OFF


async def test_jobs_sent_away_come_back_one_after_the_other_at_the_pace_of_their_consumer() -> None:
    clock = Clock()
    backlog = Backlog(4, clock=clock)
    await meet(backlog, "b")
    waits = []
    with ExitStack() as stack:
        await take(backlog, "a", stack, 2)
        with pytest.raises(Full) as unknown:
            backlog.check("a", can_come_back=True)
        assert unknown.value.retry_after_s is None
        for _ in range(40):
            with await backlog.place("a", can_come_back=False):
                clock.now_s += 3
        for _ in range(5):
            with pytest.raises(Full) as full:
                backlog.check("a", can_come_back=True)
            waits.append(full.value.retry_after_s)
        assert waits == pytest.approx([3, 6, 9, 12, 15])
        clock.now_s += 15
        for _ in range(5000):
            with pytest.raises(Full) as full:
                backlog.check("a", can_come_back=True)
        assert full.value.retry_after_s == MAX_AHEAD_S


async def test_a_consumer_that_has_become_quick_has_its_jobs_back_soon() -> None:
    clock = Clock()
    backlog = Backlog(4, clock=clock)
    await meet(backlog, "b")

    async def deliver(count: int, each_s: float) -> None:
        for _ in range(count):
            with await backlog.place("a", can_come_back=False):
                clock.now_s += each_s

    with ExitStack() as stack:
        await take(backlog, "a", stack, 2)
        await deliver(40, 3.0)
        for _ in range(1000):
            with pytest.raises(Full):
                backlog.check("a", can_come_back=True)
        await deliver(200, 0.01)
        with pytest.raises(Full) as full:
            backlog.check("a", can_come_back=True)
    assert full.value.retry_after_s is not None
    assert full.value.retry_after_s < 20  # a thousand jobs at a hundred a second


async def test_what_goes_to_no_consumer_is_no_other_consumer() -> None:
    backlog = Backlog(16, max_rps=0.01)
    with ExitStack() as stack:
        await take(backlog, NO_CONSUMER, stack, 10)
        waiting = await begin(backlog, "a")
        assert waiting.done()
        second = await begin(backlog, "a")
        assert not second.done()  # it waits: no other consumer is there
        backlog.check("a", can_come_back=True)
        await take(backlog, NO_CONSUMER, stack, 5)
        with waiting.result():
            pass
        with await second:
            pass
    assert backlog.taken == 0


async def test_the_time_between_bursts_is_not_the_pace_of_a_consumer() -> None:
    clock = Clock()
    backlog = Backlog(2, clock=clock)
    await meet(backlog, "a", "b")
    clock.now_s += MEMORY_S / 2
    with await backlog.place("a", can_come_back=True):
        clock.now_s += 2
        with pytest.raises(Full) as full:
            backlog.check("a", can_come_back=True)
    assert full.value.retry_after_s is not None
    assert full.value.retry_after_s <= 2


async def test_a_paced_consumer_has_no_more_than_it_is_sent_while_anybody_waits_for_its_pace() -> (
    None
):
    backlog = Backlog(1000, max_rps=0.2)
    with ExitStack() as stack:
        await take(backlog, "a", stack, int(0.2 * MAX_WAIT_S))
        waiting = await begin(backlog, "a")
        assert not waiting.done()
        stack.close()
        with await waiting:
            pass
    assert backlog.taken == 0


async def test_places_pass_to_one_consumer_after_the_other() -> None:
    backlog = Backlog(4)
    order: list[str] = []

    async def work(consumer: str) -> None:
        with await backlog.place(consumer, can_come_back=False):
            order.append(consumer)
            await asyncio.sleep(0)

    with ExitStack() as stack:
        await take(backlog, "a", stack, 3, can_come_back=False)
        await take(backlog, "b", stack, 1, can_come_back=False)
        tasks = [asyncio.create_task(work(name)) for name in "aaaabb"]
        for _ in range(3):
            await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(*tasks)
    assert sorted(order[:4]) == ["a", "a", "b", "b"]
    assert backlog.taken == 0


async def test_no_place_is_lost_when_waiters_give_up() -> None:
    backlog = Backlog(1)
    held = await backlog.place("a", can_come_back=False)
    first = await begin(backlog, "a")
    second = await begin(backlog, "a")
    first.cancel()
    with held:
        pass  # handed over in the very moment in which the first gives up
    assert await asyncio.gather(first, return_exceptions=True)
    with await second:
        third = await begin(backlog, "a")
    third.cancel()  # it has been given the place, and does not know of it yet
    await asyncio.gather(third, return_exceptions=True)
    assert backlog.taken == 0
    async with asyncio.timeout(1):
        with await backlog.place("a", can_come_back=False):
            pass


async def test_a_consumer_that_is_long_gone_makes_nobody_come_back() -> None:
    clock = Clock()
    backlog = Backlog(4, clock=clock)
    await meet(backlog, "b")
    clock.now_s += MEMORY_S + 1
    with ExitStack() as stack:
        await take(backlog, "a", stack, 3)
        backlog.check("a", can_come_back=True)


async def test_names_without_end_take_no_memory_without_end() -> None:
    backlog = Backlog(4)
    for number in range(MAX_CONSUMERS + 50):
        backlog.check(f"consumer-{number}", can_come_back=True)
    assert len(backlog._consumers) <= MAX_CONSUMERS
