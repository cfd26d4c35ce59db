"""Who gets a place to send an event, who waits, and who is turned away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.bulkhead import Bulkhead, Crowded
from worker.remembered import MAX_CONSUMERS, MEMORY_S

PATIENCE_S = 0.05


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def take(bulkhead: Bulkhead, consumer: str, stack: AsyncExitStack, count: int) -> None:
    for _ in range(count):
        await asyncio.wait_for(stack.enter_async_context(bulkhead.place(consumer)), 1)


async def is_turned_away(bulkhead: Bulkhead, consumer: str) -> bool:
    try:
        async with asyncio.timeout(1), bulkhead.place(consumer):
            return False
    except Crowded:
        return True


async def test_a_consumer_alone_may_have_every_place() -> None:
    bulkhead = Bulkhead(8, patience_s=1)
    async with AsyncExitStack() as stack:
        await take(bulkhead, "a", stack, 8)
        assert bulkhead.in_flight == 8
    assert bulkhead.in_flight == 0


async def test_among_several_each_leaves_a_quarter_of_what_is_left() -> None:
    bulkhead = Bulkhead(32, patience_s=PATIENCE_S)
    async with AsyncExitStack() as stack:
        await take(bulkhead, "b", stack, 0)
        async with bulkhead.place("b"):
            pass
        await take(bulkhead, "a", stack, 24)
        assert await is_turned_away(bulkhead, "a")
        await take(bulkhead, "b", stack, 6)
        assert await is_turned_away(bulkhead, "b")
        await take(bulkhead, "c", stack, 2)


async def test_a_consumer_that_hangs_leaves_places_for_a_new_one() -> None:
    bulkhead = Bulkhead(4, patience_s=PATIENCE_S)
    async with AsyncExitStack() as stack:
        async with bulkhead.place("other"):
            pass
        await take(bulkhead, "hangs", stack, 3)
        for consumer in ("b", "c", "d"):
            async with asyncio.timeout(1), bulkhead.place(consumer):
                pass


async def test_events_to_a_silent_consumer_are_turned_away_within_the_patience() -> None:
    bulkhead = Bulkhead(2, patience_s=PATIENCE_S)
    async with AsyncExitStack() as stack:
        await take(bulkhead, "a", stack, 2)
        started = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(*(is_turned_away(bulkhead, "a") for _ in range(20)))
        assert all(outcomes)
        assert asyncio.get_running_loop().time() - started < 1
        # The next one need not even wait.
        assert await is_turned_away(bulkhead, "a")
    async with bulkhead.place("a"):
        pass


async def test_events_to_a_slow_consumer_that_answers_wait_their_turn_in_order() -> None:
    bulkhead = Bulkhead(1, patience_s=PATIENCE_S)
    served: list[int] = []

    async def send(number: int) -> None:
        async with bulkhead.place("a"):
            await asyncio.sleep(PATIENCE_S / 4)
            bulkhead.answered("a")
            served.append(number)

    await asyncio.wait_for(asyncio.gather(*(send(number) for number in range(20))), 10)
    assert served == list(range(20))


async def test_a_place_passes_to_those_who_wait_one_consumer_after_the_other() -> None:
    bulkhead = Bulkhead(1, patience_s=10)
    served: list[str] = []

    async def send(consumer: str) -> None:
        async with bulkhead.place(consumer):
            served.append(consumer)

    async with bulkhead.place("a"):
        sending = [
            asyncio.create_task(send(consumer)) for consumer in ("a", "a", "a", "b", "b", "c")
        ]
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*sending), 5)
    assert served.index("b") < 3
    assert served.index("c") < 3
    assert sorted(served) == ["a", "a", "a", "b", "b", "c"]


async def test_no_place_is_lost_when_waiters_give_up() -> None:
    bulkhead = Bulkhead(2, patience_s=10)
    async with AsyncExitStack() as stack:
        await take(bulkhead, "a", stack, 2)
        waiting = [asyncio.create_task(is_turned_away(bulkhead, "a")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
    # The places were handed on while some of those who waited were being cancelled.
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bulkhead.in_flight == 0
    async with AsyncExitStack() as stack:
        await take(bulkhead, "a", stack, 2)


async def test_a_place_handed_over_to_one_who_just_gave_up_goes_on() -> None:
    bulkhead = Bulkhead(1, patience_s=10)
    holding = bulkhead.place("a")
    await holding.__aenter__()
    first = asyncio.create_task(is_turned_away(bulkhead, "a"))
    second = asyncio.create_task(is_turned_away(bulkhead, "a"))
    await asyncio.sleep(0)
    await holding.__aexit__(None, None, None)  # hands the place to the first …
    first.cancel()  # … which is cancelled before it runs
    assert await asyncio.wait_for(second, 1) is False
    assert bulkhead.in_flight == 0


async def test_a_spare_place_is_given_only_while_half_are_free() -> None:
    bulkhead = Bulkhead(4, patience_s=1)
    async with AsyncExitStack() as stack:
        await take(bulkhead, "a", stack, 1)
        assert await stack.enter_async_context(bulkhead.spare_place("a"))
        assert bulkhead.in_flight == 2
        assert not await stack.enter_async_context(bulkhead.spare_place("a"))
        assert not await stack.enter_async_context(bulkhead.spare_place("b"))
        assert bulkhead.in_flight == 2
    assert bulkhead.in_flight == 0


async def test_a_consumer_that_is_long_gone_no_longer_takes_from_the_share_of_the_rest() -> None:
    clock = Clock()
    bulkhead = Bulkhead(4, patience_s=PATIENCE_S, clock=clock)
    async with bulkhead.place("gone"):
        pass
    clock.now_s += MEMORY_S + 1
    async with AsyncExitStack() as stack:
        await take(bulkhead, "a", stack, 4)


async def test_names_without_end_take_no_memory_without_end() -> None:
    bulkhead = Bulkhead(4, patience_s=1)
    for number in range(MAX_CONSUMERS + 100):
        async with bulkhead.place(f"{number}.attacker.test:443"):
            pass
    assert len(bulkhead._consumers) <= MAX_CONSUMERS + 1


@pytest.mark.parametrize("places", [1, 2, 3])
async def test_few_places_still_serve_several_consumers(places: int) -> None:
    bulkhead = Bulkhead(places, patience_s=1)

    async def send(consumer: str) -> None:
        async with bulkhead.place(consumer):
            await asyncio.sleep(0)
            bulkhead.answered(consumer)

    await asyncio.wait_for(asyncio.gather(*(send(f"c{n % 5}") for n in range(50))), 5)
