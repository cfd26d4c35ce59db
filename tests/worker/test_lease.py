"""Leases on a clock of their own: renewed in time, capped, and lost when they are lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.sqs_model import Clock
from worker.lease import Lease, LeaseKeeper
from worker.metrics import PREFIX, Metrics
from worker.queue import Message
from worker.quotas import MAX_VISIBILITY_S

VISIBILITY_S = 60
JOB_TIMEOUT_S = 600.0


class Renewals:
    """A queue that takes renewals."""

    def __init__(self, url: str = "https://sqs.test/1/jobs") -> None:
        self.url = url
        self.calls: list[tuple[list[str], list[int]]] = []
        self.error: BaseException | None = None
        self.refused: set[str] = set()
        self.hangs = False

    async def extend(self, messages: list[Message], seconds: list[int]) -> list[bool]:
        self.calls.append(([m.message_id for m in messages], list(seconds)))
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return [m.message_id not in self.refused for m in messages]


class Keeping:
    """A keeper with its clock and queue."""

    def __init__(
        self, *, visibility_s: int = VISIBILITY_S, job_timeout_s: float = JOB_TIMEOUT_S
    ) -> None:
        self.clock = Clock()
        self.queue = Renewals()
        self.metrics = Metrics()
        self.keeper = LeaseKeeper(
            visibility_s=visibility_s,
            job_timeout_s=job_timeout_s,
            metrics=self.metrics,
            clock=self.clock,
        )

    def take(self, name: str = "m", queue: Renewals | None = None) -> Lease:
        return self.keeper.take(Message(name, f"r-{name}", "", cast("Any", queue or self.queue)))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"{PREFIX}_{name}_total", labels) or 0.0


async def test_a_lease_is_renewed_at_every_third_of_its_visibility() -> None:
    keeping = Keeping()
    keeping.take()
    renewed_at = []
    for _ in range(100):
        before = len(keeping.queue.calls)
        await keeping.keeper.renew_due()
        if len(keeping.queue.calls) > before:
            renewed_at.append(keeping.clock.now - 1000)
        keeping.clock.now += 1
    assert renewed_at == [20, 40, 60, 80]
    assert all(seconds == [VISIBILITY_S] for _, seconds in keeping.queue.calls)
    assert keeping.counted("lease_renewals") == 4


async def test_renewals_go_ten_to_a_call_and_by_queue() -> None:
    keeping = Keeping()
    other = Renewals("https://sqs.test/1/other")
    for i in range(23):
        keeping.take(f"m{i}")
    for i in range(2):
        keeping.take(f"o{i}", other)
    keeping.clock.now += 20
    await keeping.keeper.renew_due()
    assert sorted(len(names) for names, _ in keeping.queue.calls) == [3, 10, 10]
    assert [names for names, _ in other.calls] == [["o0", "o1"]]
    assert len({name for names, _ in keeping.queue.calls for name in names}) == 23


async def test_renewal_never_reaches_past_the_job_timeout() -> None:
    keeping = Keeping(job_timeout_s=50)
    lease = keeping.take()
    keeping.clock.now += 20
    await keeping.keeper.renew_due()
    # The first visibility of 60 s already covers a job of 50 s.
    assert keeping.queue.calls == []
    keeping = Keeping(job_timeout_s=90)
    lease = keeping.take()
    for _ in range(100):
        await keeping.keeper.renew_due()
        keeping.clock.now += 1
    assert [seconds for _, seconds in keeping.queue.calls] == [[60], [50]]
    assert lease.lost_by == "expired"


async def test_renewals_add_up_to_no_more_than_twelve_hours() -> None:
    keeping = Keeping(visibility_s=MAX_VISIBILITY_S // 2, job_timeout_s=MAX_VISIBILITY_S)
    keeping.take()
    taken_at = keeping.clock.now
    furthest = 0.0
    for _ in range(24):
        before = len(keeping.queue.calls)
        await keeping.keeper.renew_due()
        if len(keeping.queue.calls) > before:
            furthest = keeping.clock.now + keeping.queue.calls[-1][1][0] - taken_at
        keeping.clock.now += 1800
    assert 0 < furthest <= MAX_VISIBILITY_S


async def test_what_is_left_of_twelve_hours_is_counted_from_the_receive() -> None:
    keeping = Keeping()
    lease = keeping.take()
    whole_s = keeping.keeper.visibility_left_s(lease)
    keeping.clock.now += 100
    assert MAX_VISIBILITY_S - 60 < whole_s < MAX_VISIBILITY_S
    assert keeping.keeper.visibility_left_s(lease) == whole_s - 100


@given(
    visibility_s=st.integers(3, 600),
    job_timeout_s=st.floats(1, 2000),
    step_s=st.floats(0.2, 50),
)
def test_no_lease_outlives_what_sqs_was_asked_for(
    visibility_s: int, job_timeout_s: float, step_s: float
) -> None:
    async def live() -> None:
        keeping = Keeping(visibility_s=visibility_s, job_timeout_s=job_timeout_s)
        lease = keeping.take()
        granted_until = keeping.clock.now + visibility_s
        for _ in range(60):
            before = len(keeping.queue.calls)
            await keeping.keeper.renew_due()
            if len(keeping.queue.calls) > before:
                granted_until = keeping.clock.now + keeping.queue.calls[-1][1][0]
                assert granted_until <= max(lease.ends_at, keeping.clock.now + 1)
            if keeping.keeper.is_held(lease):
                assert keeping.clock.now < granted_until
            keeping.clock.now += step_s

    asyncio.run(live())


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), ValueError("garbled")])
async def test_failed_renewals_are_repeated_and_then_the_lease_is_lost_by_age(
    error: Exception,
) -> None:
    keeping = Keeping()
    lease = keeping.take()
    lost: list[float] = []
    lease.on_lost(lambda: lost.append(keeping.clock.now - 1000))
    keeping.queue.error = error
    for _ in range(70):
        await keeping.keeper.renew_due()
        keeping.clock.now += 1
    assert len(keeping.queue.calls) >= 2
    assert lost == [60]
    assert lease.lost_by == "expired"
    assert keeping.counted("leases_lost", reason="expired") == 1
    assert len(keeping.keeper) == 0


async def test_a_refused_renewal_is_no_renewal() -> None:
    keeping = Keeping()
    good, bad = keeping.take("good"), keeping.take("bad")
    keeping.queue.refused = {"bad"}
    for _ in range(65):
        await keeping.keeper.renew_due()
        keeping.clock.now += 1
    assert keeping.keeper.is_held(good)
    assert not keeping.keeper.is_held(bad)


async def test_a_lease_is_lost_when_its_message_comes_back() -> None:
    keeping = Keeping()
    older = keeping.take("m")
    lost: list[str | None] = []
    older.on_lost(lambda: lost.append(older.lost_by))
    newer = keeping.take("m")
    assert lost == ["came_back"]
    assert keeping.keeper.is_held(newer)
    assert not keeping.keeper.is_held(older)
    assert keeping.counted("leases_lost", reason="came_back") == 1
    keeping.keeper.release(older)
    assert len(keeping.keeper) == 1


async def test_a_released_lease_is_neither_renewed_nor_lost() -> None:
    keeping = Keeping()
    lease = keeping.take()
    lost: list[None] = []
    lease.on_lost(lambda: lost.append(None))
    keeping.keeper.release(lease)
    keeping.clock.now += 500
    assert await keeping.keeper.renew_due() is None
    assert keeping.queue.calls == []
    assert lost == []


async def test_one_who_asks_late_hears_of_the_loss_at_once() -> None:
    keeping = Keeping()
    lease = keeping.take()
    keeping.clock.now += 60
    assert not keeping.keeper.is_held(lease)
    lost: list[None] = []
    lease.on_lost(lambda: lost.append(None))
    assert lost == [None]


async def test_work_ends_before_the_lease_does_so_that_a_late_job_can_be_settled() -> None:
    keeping = Keeping()
    lease = keeping.take()
    assert lease.ends_at - lease.work_until == pytest.approx(JOB_TIMEOUT_S * 0.1)


async def test_the_keeper_renews_by_itself_and_a_call_that_hangs_costs_no_other_queue() -> None:
    keeper = LeaseKeeper(visibility_s=3, job_timeout_s=100, metrics=Metrics())
    stuck, fine = Renewals("https://sqs.test/1/stuck"), Renewals("https://sqs.test/1/fine")
    stuck.hangs = True
    lost = asyncio.Event()
    lease = keeper.take(Message("s", "r", "", cast("Any", stuck)))
    lease.on_lost(lost.set)
    kept = keeper.take(Message("f", "r", "", cast("Any", fine)))
    renewing = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        await lost.wait()
    assert lease.lost_by == "expired"
    assert keeper.is_held(kept)
    assert len(fine.calls) >= 2
    renewing.cancel()
