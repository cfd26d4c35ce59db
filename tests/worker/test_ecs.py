from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.worker.waiting import until
from worker.ecs import (
    BREAK_S,
    EXPIRES_MIN,
    IDLE_LINGER_S,
    MAX_PROTECTED_S,
    RENEW_AFTER_S,
    MonotonicClock,
    ProtectionRefused,
    TaskProtection,
    check_reply,
)
from worker.metrics import Metrics

ARN = "arn:aws:ecs:us-west-2:111122223333:task/1234567890abcdef0"


class Agent:
    """A local server in the ECS agent's place: it remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refusal: tuple[int, object] | None = None
        self.raw: str | None = None
        self.uri = ""

    @property
    def wishes(self) -> list[bool]:
        return [body["ProtectionEnabled"] for body in self.asked]

    async def put(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if self.raw is not None:
            return web.Response(text=self.raw)
        if self.refusal:
            status, reply = self.refusal
            return web.json_response(reply, status=status)
        state = {"ProtectionEnabled": body["ProtectionEnabled"], "TaskArn": ARN}
        return web.json_response({"protection": state})


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = Agent()
    app = web.Application()
    app.router.add_put("/api/abc/task-protection/v1/state", made.put)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    made.uri = f"http://{host}:{port}/api/abc"
    yield made
    await runner.cleanup()


class SetClock:
    """A clock that a test moves; whoever waits wakes when the hand has passed."""

    def __init__(self) -> None:
        self.hand = 1000.0
        self.waiting: tuple[asyncio.Event, float | None] | None = None

    def now(self) -> float:
        return self.hand

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        self.waiting = (event, None if timeout_s is None else self.hand + timeout_s)
        while self.is_at_rest():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.002):
                    await event.wait()
        self.waiting = None

    def is_at_rest(self) -> bool:
        """Whether the watcher waits, and for something that has not come about."""
        if self.waiting is None:
            return False
        event, until = self.waiting
        return not event.is_set() and (until is None or self.hand < until)

    def forward(self, seconds: float) -> None:
        self.hand += seconds


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def protection(
    agent: Agent, metrics: Metrics, clock: SetClock
) -> AsyncIterator[TaskProtection]:
    made = TaskProtection(agent.uri, metrics, clock=clock)
    await made.start()
    yield made
    await made.stop()


async def settled(clock: SetClock) -> None:
    """Wait until the watcher has done what is due and waits again."""
    await until(clock.is_at_rest)


def failures(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("analysis_worker_ecs_protection_failures_total")


async def test_protection_is_set_at_the_first_job_and_cleared_when_idle(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    await settled(clock)
    assert agent.asked == []
    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes == [True])
    assert agent.asked[0] == {"ProtectionEnabled": True, "ExpiresInMinutes": EXPIRES_MIN}
    protection.jobs_in_flight(0)
    await settled(clock)
    clock.forward(IDLE_LINGER_S)
    await until(lambda: agent.wishes == [True, False])
    assert agent.asked[1] == {"ProtectionEnabled": False}


async def test_only_transitions_are_sent(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    for jobs in (1, 2, 3, 2, 1, 0, 1, 0, 1):
        protection.jobs_in_flight(jobs)
        await settled(clock)
    assert agent.wishes == [True]


async def test_protection_is_renewed_before_it_expires(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes == [True])
    await settled(clock)
    clock.forward(RENEW_AFTER_S)
    await until(lambda: agent.wishes == [True, True])
    assert RENEW_AFTER_S < EXPIRES_MIN * 60


async def test_after_a_quarter_of_an_hour_polling_stops_until_a_minute_without_protection(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    protection.jobs_in_flight(2)
    await until(lambda: agent.wishes == [True])
    await settled(clock)
    clock.forward(RENEW_AFTER_S)
    await until(lambda: agent.wishes == [True, True])
    await settled(clock)
    assert protection.may_poll.is_set()

    clock.forward(MAX_PROTECTED_S - RENEW_AFTER_S)
    await until(lambda: not protection.may_poll.is_set())
    assert False not in agent.wishes, "cleared while jobs were running"

    protection.jobs_in_flight(0)
    await until(lambda: agent.wishes[-1] is False)
    await settled(clock)
    clock.forward(BREAK_S - 1)
    await settled(clock)
    assert not protection.may_poll.is_set()
    clock.forward(1)
    await until(protection.may_poll.is_set)

    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes[-1] is True)


async def test_jobs_that_outlast_the_quarter_of_an_hour_stay_protected(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    protection.jobs_in_flight(1)
    for _ in range(4):
        asked = len(agent.asked)
        await settled(clock)
        clock.forward(RENEW_AFTER_S)
        await until(lambda asked=asked: len(agent.asked) > asked)  # type: ignore[misc]
    assert agent.wishes == [True] * len(agent.asked)


async def test_short_pauses_do_not_begin_the_quarter_of_an_hour_again(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes == [True])
    elapsed = 0.0
    while elapsed < MAX_PROTECTED_S:
        protection.jobs_in_flight(0)
        await settled(clock)
        protection.jobs_in_flight(1)
        await settled(clock)
        clock.forward(60)
        elapsed += 60
    await until(lambda: not protection.may_poll.is_set())


REFUSALS = {
    "a failure with HTTP 200": (
        200,
        {"failure": {"Arn": ARN, "Detail": None, "Reason": "TASK_NOT_VALID"}},
    ),
    "an error with HTTP 200": (
        200,
        {"requestID": "1", "error": {"Arn": ARN, "Code": "ThrottlingException", "Message": "Rate"}},
    ),
    "an error with HTTP 400": (
        400,
        {"error": {"Arn": ARN, "Code": "AccessDeniedException", "Message": "not authorized"}},
    ),
    "a state that was not asked for": (200, {"protection": {"ProtectionEnabled": False}}),
    "an empty object": (200, {}),
    "no object": (200, ["?"]),
    "a bare 500": (500, None),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refusal_is_counted_and_tried_again_and_costs_no_job(
    protection: TaskProtection,
    agent: Agent,
    clock: SetClock,
    metrics: Metrics,
    refusal: tuple[int, object],
) -> None:
    agent.refusal = refusal
    protection.jobs_in_flight(1)
    await until(lambda: failures(metrics) == 1)
    await settled(clock)
    assert protection.may_poll.is_set()
    agent.refusal = None
    clock.forward(60)
    await until(lambda: protection._protected_since is not None)
    assert agent.wishes == [True, True]


async def test_refusals_are_not_answered_with_a_flood(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    agent.refusal = (500, None)
    for jobs in (1, 2, 3, 4, 5):
        protection.jobs_in_flight(jobs)
        await settled(clock)
    assert len(agent.asked) == 1


async def test_an_agent_that_is_not_there_is_a_failure_not_a_crash(
    metrics: Metrics, clock: SetClock
) -> None:
    protection = TaskProtection("http://127.0.0.1:1/api", metrics, clock=clock)
    await protection.start()
    protection.jobs_in_flight(1)
    await until(lambda: failures(metrics) == 1)
    await protection.stop()


async def test_the_break_ends_even_if_clearing_fails(
    protection: TaskProtection, agent: Agent, clock: SetClock
) -> None:
    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes == [True])
    await settled(clock)
    clock.forward(MAX_PROTECTED_S)
    await until(lambda: not protection.may_poll.is_set())
    await settled(clock)
    agent.refusal = (500, None)
    protection.jobs_in_flight(0)
    await until(lambda: False in agent.wishes)
    await settled(clock)
    clock.forward(BREAK_S)
    await until(protection.may_poll.is_set)


async def test_a_stop_clears_the_protection(
    agent: Agent, metrics: Metrics, clock: SetClock
) -> None:
    protection = TaskProtection(agent.uri, metrics, clock=clock)
    await protection.start()
    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes == [True])
    await protection.stop()
    assert agent.wishes == [True, False]


async def test_with_the_real_clock_too(agent: Agent, metrics: Metrics) -> None:
    protection = TaskProtection(agent.uri, metrics)
    await protection.start()
    protection.jobs_in_flight(1)
    await until(lambda: agent.wishes == [True])
    await protection.stop()


async def test_a_stop_right_after_the_last_job_ends(agent: Agent, metrics: Metrics) -> None:
    class Noting(MonotonicClock):
        rests = False

        async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
            self.rests = timeout_s != 0
            await super().wait(event, timeout_s)

    clock = Noting()
    protection = TaskProtection(agent.uri, metrics, clock=clock)
    protection.jobs_in_flight(1)
    await protection.start()
    await until(lambda: clock.rests)
    await asyncio.sleep(0)
    # A drain goes on in the same turn of the loop in which the end of the last job is told.
    protection.jobs_in_flight(0)
    stopping = asyncio.create_task(protection.stop())
    await asyncio.wait({stopping}, timeout=3)
    assert stopping.done()
    assert agent.wishes == [True, False]


async def test_a_stop_waits_for_no_watcher_that_does_not_end(
    agent: Agent, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ecs.STOP_TIMEOUT_S", 0.05)
    may_end = asyncio.Event()

    class Deaf(MonotonicClock):
        async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
            while not may_end.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await may_end.wait()
            await super().wait(event, timeout_s)

    protection = TaskProtection(agent.uri, metrics, clock=Deaf())
    protection.jobs_in_flight(1)
    await protection.start()
    await until(lambda: agent.wishes == [True])
    async with asyncio.timeout(5):
        await protection.stop()
    assert agent.wishes == [True, False]
    may_end.set()


async def test_the_real_clock_wakes_for_an_event_and_for_the_time() -> None:
    clock, event = MonotonicClock(), asyncio.Event()
    began = clock.now()
    await clock.wait(event, 0.02)
    assert clock.now() - began >= 0.02
    waiting = asyncio.create_task(clock.wait(event, None))
    await asyncio.sleep(0)
    event.set()
    await asyncio.wait_for(waiting, 5)
    await clock.wait(event, 60)
    assert clock.now() - began < 10


@pytest.mark.parametrize("turns", range(4))
async def test_the_real_clock_swallows_no_cancellation(turns: int) -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(MonotonicClock().wait(event, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if not waiting.done():
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=5)
        assert waiting.cancelled()


async def test_an_answer_that_breaks_the_reader_is_a_failure_and_the_watch_goes_on(
    protection: TaskProtection, agent: Agent, clock: SetClock, metrics: Metrics
) -> None:
    agent.raw = "[" * 100_000
    protection.jobs_in_flight(1)
    await until(lambda: failures(metrics) == 1)
    await settled(clock)
    agent.raw = None
    clock.forward(60)
    await until(lambda: protection._protected_since is not None)


def test_outside_ecs_there_is_nothing_to_protect(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    assert TaskProtection.from_environment(metrics) is None
    monkeypatch.setenv("ECS_AGENT_URI", "http://169.254.170.2/api/abc")
    assert TaskProtection.from_environment(metrics) is not None


def test_a_refusal_names_its_reason() -> None:
    with pytest.raises(ProtectionRefused, match="AccessDeniedException not authorized"):
        check_reply(*REFUSALS["an error with HTTP 400"], protected=True)
