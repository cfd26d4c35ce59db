"""Permits: reserved for exactly what is asked for, by priority, with a share for the lower."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from worker.intake import MAX_READ_AHEAD, READ_AHEAD_PER_SLOT, READ_AHEAD_S, Intake


async def waiting(intake: Intake, rank: int, most: int = 10) -> asyncio.Task[int]:
    task = asyncio.create_task(intake.acquire(rank, most))
    await asyncio.sleep(0)
    return task


async def test_no_more_is_granted_than_slots_and_their_read_ahead() -> None:
    intake = Intake(3)
    assert intake.capacity == 3 * (1 + READ_AHEAD_PER_SLOT)
    assert await intake.acquire(0, 4) == 4
    assert await intake.acquire(0, 10) == 2
    blocked = await waiting(intake, 0)
    assert not blocked.done()
    intake.release(0)
    assert await blocked == 1


async def test_concurrent_polls_never_overshoot() -> None:
    intake = Intake(4, ranks=3, reserve=0.2)
    tasks = [await waiting(intake, rank) for rank in (0, 1, 2)]
    granted = [task.result() if task.done() else 0 for task in tasks]
    assert sum(granted) == intake.in_use <= intake.capacity
    for task in tasks:
        task.cancel()


async def test_a_freed_permit_goes_to_the_highest_queue_that_waits() -> None:
    intake = Intake(2, ranks=2, reserve=0.1)
    assert await intake.acquire(1, 1) == 1
    assert await intake.acquire(0, 10) == 4
    low, high = await waiting(intake, 1), await waiting(intake, 0)
    intake.release(0)
    await asyncio.sleep(0)
    assert high.done()
    assert not low.done()
    low.cancel()


async def test_a_lower_queue_gets_its_share_before_a_higher_gets_more() -> None:
    intake = Intake(2, ranks=2, reserve=0.1)
    assert intake.assured(1) == 1
    assert await intake.acquire(0, 10) == 4
    assert await intake.acquire(1, 10) == 1
    high, low = await waiting(intake, 0), await waiting(intake, 1)
    intake.release(1)
    await asyncio.sleep(0)
    assert low.done()
    assert not high.done()
    high.cancel()


async def test_what_comes_free_is_kept_for_a_higher_queue_that_receives_a_backlog() -> None:
    intake = Intake(2, ranks=2, reserve=0.1)
    assert await intake.acquire(0, 10) == 4
    assert await intake.acquire(1, 10) == 1
    intake.received(0, asked=4, got=4)
    intake.release(0, 1)
    assert await intake.acquire(0, 10) == 1  # its receive is under way
    low = await waiting(intake, 1)
    intake.release(0, 2)
    await asyncio.sleep(0)
    assert not low.done()
    intake.release(1, 1)
    assert await low == 1  # its share, and no more


async def test_it_is_kept_until_the_higher_queue_has_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.intake.BACKLOG_HOLD_S", 3600)
    intake = Intake(2, ranks=2, reserve=0.1)
    assert await intake.acquire(0, 10) == 4
    intake.received(0, asked=4, got=4)
    intake.release(0, 2)
    assert await intake.acquire(0, 2) == 2
    intake.release(0, 1)
    assert await intake.acquire(1, 1) == 1
    low = await waiting(intake, 1)
    intake.received(0, asked=2, got=1)
    assert await low == 1


async def test_it_is_kept_no_longer_than_a_backlog_takes_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.intake.BACKLOG_HOLD_S", 0.02)
    intake = Intake(2, ranks=2, reserve=0.1)
    assert await intake.acquire(0, 10) == 4
    intake.received(0, asked=4, got=4)
    intake.release(0, 2)
    assert await intake.acquire(0, 1) == 1
    assert await intake.acquire(1, 1) == 1
    low = await waiting(intake, 1)
    assert not low.done()
    async with asyncio.timeout(5):
        assert await low == 1


async def test_without_a_backlog_above_a_lower_queue_has_all_but_one_poll() -> None:
    intake = Intake(4, ranks=2, reserve=0.1)
    assert await intake.acquire(0, 1) == 1
    assert await intake.acquire(1, 10) == 8


@given(slots=st.integers(1, 16), ranks=st.integers(2, 12))
def test_the_polls_of_idle_queues_keep_no_slot_and_no_read_ahead_from_a_busy_one(
    slots: int, ranks: int
) -> None:
    async def poll() -> None:
        intake = Intake(slots, ranks=ranks, reserve=0.0)
        for lower in range(1, ranks):
            assert await intake.acquire(lower, 1) == 1
        assert await intake.acquire(0, 100) == slots * (1 + READ_AHEAD_PER_SLOT)

    asyncio.run(poll())


async def test_a_cancelled_wait_costs_no_permit() -> None:
    intake = Intake(1)
    await intake.acquire(0, 2)
    blocked = await waiting(intake, 0)
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)
    intake.release(0, 2)
    assert intake.in_use == 0
    assert await intake.acquire(0, 10) == 2


async def test_a_wait_cancelled_as_it_was_granted_gives_the_permits_back() -> None:
    intake = Intake(1)
    await intake.acquire(0, 2)
    blocked = await waiting(intake, 0)
    intake.release(0, 2)
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)
    assert intake.in_use == 0


async def test_fewer_slots_grant_nothing_until_the_surplus_has_run_out() -> None:
    intake = Intake(3)
    assert await intake.acquire(0, 6) == 6
    intake.resize(1)
    blocked = await waiting(intake, 0)
    intake.release(0, 4)
    await asyncio.sleep(0)
    assert not blocked.done()
    intake.release(0)
    assert await blocked == 1
    intake.resize(3)
    assert await intake.acquire(0, 10) == 4


async def test_a_receive_waits_until_half_of_the_read_ahead_is_used_up() -> None:
    intake = Intake(8)
    assert await intake.acquire(0, 10) == 10
    assert await intake.acquire(0, 10) == 6
    blocked = await waiting(intake, 0)
    intake.release(0, 3)
    await asyncio.sleep(0)
    assert not blocked.done()
    intake.release(0)
    assert await blocked == 4


def with_jobs_of(seconds: float, slots: int, *, ranks: int = 1) -> Intake:
    """Make an intake that has seen many jobs of one length."""
    intake = Intake(slots, ranks=ranks)
    for _ in range(100):
        intake.slot_was_held(seconds)
    return intake


async def receive(intake: Intake, got: int, *, rank: int = 0, most: int = 10) -> None:
    """Ask for as many as may be asked for; what comes is scored at once."""
    asked = await intake.acquire(rank, most)
    intake.received(rank, asked=asked, got=min(got, asked))
    intake.release(rank, asked)


async def test_a_second_of_work_is_read_ahead_of_a_backlog_and_little_behind_it() -> None:
    intake = with_jobs_of(READ_AHEAD_S / 4, slots=2)
    assert intake.capacity == 4
    await receive(intake, 10)
    assert intake.capacity == 2 + 2 * 4
    await receive(intake, 3)  # not all that was asked for, and yet more than the slots can take
    assert intake.capacity == 2 + 2 * 4
    await receive(intake, 2)
    assert intake.capacity == 4


async def test_no_more_than_two_full_receives_are_read_ahead_however_short_the_jobs() -> None:
    intake = with_jobs_of(0.0, slots=2)
    await receive(intake, 10)
    assert intake.capacity == 2 + MAX_READ_AHEAD


async def test_one_job_waits_for_each_slot_where_a_job_is_long() -> None:
    intake = with_jobs_of(READ_AHEAD_S, slots=4)
    await receive(intake, 10)
    assert intake.capacity == 8


async def test_nothing_is_known_of_the_jobs_before_the_first() -> None:
    intake = Intake(2)
    await receive(intake, 10)
    assert intake.capacity == 4


async def test_a_lower_queues_backlog_is_not_read_ahead() -> None:
    intake = with_jobs_of(0.0, slots=2, ranks=2)
    await receive(intake, 10, rank=1)
    assert intake.capacity == 4 + 1
    await receive(intake, 10, rank=0)
    assert intake.capacity == 2 + MAX_READ_AHEAD + 1


async def test_where_messages_come_one_by_one_none_is_read_ahead_for_company() -> None:
    intake = with_jobs_of(0.0, slots=2)
    await receive(intake, 1, most=1)
    assert intake.capacity == 4


@given(
    slots=st.integers(1, 64),
    ranks=st.integers(1, 12),
    held_s=st.floats(0, 10, allow_nan=False),
    has_backlog=st.booleans(),
)
def test_no_slot_is_idle_while_a_receive_is_held_back(
    slots: int, ranks: int, held_s: float, has_backlog: bool
) -> None:
    intake = Intake(slots, ranks=ranks)
    intake.slot_was_held(held_s)
    if has_backlog:
        asyncio.run(receive(intake, 10))
    polls_of_others = ranks - 1
    if intake.least > 1:
        jobs_at_hand = intake.capacity - polls_of_others - (intake.least - 1)
        assert jobs_at_hand > slots


@given(
    slots=st.integers(1, 64), ranks=st.integers(1, 6), reserve=st.floats(0, 0.5, allow_nan=False)
)
def test_every_queue_can_always_poll_and_the_shares_fit(
    slots: int, ranks: int, reserve: float
) -> None:
    intake = Intake(slots, ranks=ranks, reserve=reserve)
    shares = [intake.assured(rank) for rank in range(ranks)]
    assert shares[0] == 0
    assert sum(shares) < intake.capacity
    if ranks > 1:
        assert min(shares[1:]) >= 1
    assert all(intake.grantable(rank) >= 1 for rank in range(ranks))


class Polls(RuleBasedStateMachine):
    """Acquire, release, resize and cancel in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.intake = Intake(2, ranks=3, reserve=0.2)
        self.out = [0, 0, 0]
        self.waits: list[tuple[int, asyncio.Task[int]]] = []
        self.largest = self.intake.capacity

    def teardown(self) -> None:
        for _, task in self.waits:
            task.cancel()
        self._turn()
        self.loop.close()

    def _turn(self) -> None:
        for _ in range(3):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        for rank, task in self.waits:
            if task.done() and not task.cancelled():
                self.out[rank] += task.result()
        self.waits = [(rank, task) for rank, task in self.waits if not task.done()]

    @rule(rank=st.integers(0, 2), most=st.integers(1, 10))
    def acquire(self, rank: int, most: int) -> None:
        self.waits.append((rank, self.loop.create_task(self.intake.acquire(rank, most))))
        self._turn()

    @rule(rank=st.integers(0, 2), count=st.integers(1, 4))
    def release(self, rank: int, count: int) -> None:
        given = min(count, self.out[rank])
        if given:
            self.out[rank] -= given
            self.intake.release(rank, given)
            self._turn()

    @rule(seconds=st.sampled_from((0.0, 0.02, 1.0)))
    def note(self, seconds: float) -> None:
        self.intake.slot_was_held(seconds)
        self.largest = max(self.largest, self.intake.capacity)

    @rule(got=st.integers(0, 9))
    def receive(self, got: int) -> None:
        # Never as many as asked for: what is held for a backlog is held by the clock.
        self.intake.received(0, asked=10, got=got)
        self.largest = max(self.largest, self.intake.capacity)

    @rule(slots=st.integers(1, 5))
    def resize(self, slots: int) -> None:
        self.intake.resize(slots)
        self.largest = max(self.largest, self.intake.capacity)
        self._turn()

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        if self.waits:
            self.waits[which % len(self.waits)][1].cancel()
            self._turn()

    @invariant()
    def what_is_out_is_counted_and_never_too_much(self) -> None:
        assert self.intake.in_use == sum(self.out) <= self.largest

    @invariant()
    def nobody_waits_for_what_is_free(self) -> None:
        # Capacity that a note has added is given out with the release that follows it.
        self.intake.resize(self.intake.slots)
        self._turn()
        if self.intake.capacity - self.intake.in_use >= self.intake.least:
            assert all(self.intake.grantable(rank) == 0 for rank, _ in self.waits)


TestPolls = pytest.mark.filterwarnings("ignore::pytest.PytestCollectionWarning")(Polls.TestCase)
TestPolls.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
