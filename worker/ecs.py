"""ECS scale-in protection: a task with jobs is not the one that a deployment or scale-in stops.

    idle ── a job starts ──> protected ── idle for IDLE_LINGER_S ──> idle
                                │
                                └─ unbroken for MAX_PROTECTED_S ──> yielding: no polling until the
                                   jobs are settled, then BREAK_S without protection ──> idle

The break is what lets a deployment go on under a backlog that never ends. Whatever the agent
answers, jobs go on: a failure is counted, logged and tried again.
Source: Amazon ECS Developer Guide, "Task scale-in protection endpoint".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp

from worker.logs import get_logger

if TYPE_CHECKING:
    from worker.metrics import Metrics

AGENT_URI_VARIABLE: Final = "ECS_AGENT_URI"
STATE_PATH: Final = "/task-protection/v1/state"

EXPIRES_MIN: Final = 10
"""How long a killed worker's protection outlives it."""

RENEW_AFTER_S: Final = EXPIRES_MIN * 60 / 2
IDLE_LINGER_S: Final = 5.0
"""Idle for this long before protection is cleared: a trickle of jobs is no flood of calls."""

MAX_PROTECTED_S: Final = 15 * 60.0
BREAK_S: Final = 60.0
RETRY_FIRST_S: Final = 2.0
RETRY_MAX_S: Final = 60.0
TIMEOUT_S: Final = 5.0
STOP_TIMEOUT_S: Final = 5.0
"""The end of a drain waits no longer than this for the watch to end."""

_log = get_logger("worker.ecs")


class Clock(Protocol):
    """Time, so that a test need not wait for a quarter of an hour."""

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Return when the event is set or the time is up."""


class MonotonicClock:
    """The real one."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Return when the event is set or the time is up."""
        # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()


class ProtectionRefused(Exception):
    """The agent did not do what it was asked; the text says why."""


class TaskProtection:
    """Keeps the task protected while it has jobs.

    Attributes
    ----------
    may_poll
        Cleared while a break is due; the consumer asks for no messages then.
    """

    def __init__(self, agent_uri: str, metrics: Metrics, *, clock: Clock | None = None) -> None:
        self.may_poll = asyncio.Event()
        self.may_poll.set()
        self._url = agent_uri.rstrip("/") + STATE_PATH
        self._metrics = metrics
        self._clock = clock or MonotonicClock()
        self._changed = asyncio.Event()
        self._jobs = 0
        self._idle_since: float = self._clock.now()
        self._protected_since: float | None = None
        self._asked = False
        self._renew_at = 0.0
        self._break_until: float | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_environment(cls, metrics: Metrics) -> TaskProtection | None:
        """The protection of this task, or None outside ECS."""
        uri = os.environ.get(AGENT_URI_VARIABLE)
        return cls(uri, metrics) if uri else None

    def jobs_in_flight(self, n: int) -> None:
        """Say how many jobs are received and not settled; call it at every change."""
        if n == 0 and self._jobs:
            self._idle_since = self._clock.now()
        self._jobs = n
        self._changed.set()

    async def start(self) -> None:
        """Begin to watch the number of jobs."""
        if self._task is None:
            # The agent is on a link-local address: a proxy of the environment is not for it.
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False
            )
            self._task = asyncio.create_task(self._run(), name="ecs-protection")

    async def stop(self) -> None:
        """Clear the protection, if any, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
            self._task = None
        if self._asked:  # the answer to the last call may have been cut off just now
            await self._set(protected=False)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _run(self) -> None:
        try:
            while True:
                self._changed.clear()
                pause_s = await self._step()
                await self._clock.wait(self._changed, pause_s)
        finally:
            self.may_poll.set()  # nobody is left to end a break

    async def _step(self) -> float | None:
        """Do what is due; return the seconds until something else is (None: only on a change)."""
        now = self._clock.now()
        protected = self._protected_since
        if self._break_until is not None:
            return await self._rest(now, self._break_until)
        if protected is not None and now - protected >= MAX_PROTECTED_S:
            return await self._yield(now)
        if self._jobs and (protected is None or now >= self._renew_at):
            return await self._try(protected=True, now=now)
        if protected is None:
            return None
        if not self._jobs:
            left_s = self._idle_since + IDLE_LINGER_S - now
            return left_s if left_s > 0 else await self._try(protected=False, now=now)
        return max(0.0, min(self._renew_at, protected + MAX_PROTECTED_S) - now)

    async def _yield(self, now: float) -> float | None:
        """Stop polling; once the jobs are settled, clear the protection and begin the break."""
        if self.may_poll.is_set():
            _log.info("ecs_protection_break", protected_s=MAX_PROTECTED_S, break_s=BREAK_S)
            self.may_poll.clear()
        if not self._jobs:
            self._break_until = now + BREAK_S
            return 0.0
        if now >= self._renew_at:
            return await self._try(protected=True, now=now)
        return self._renew_at - now

    async def _rest(self, now: float, until: float) -> float | None:
        if now >= until:
            # Also when clearing failed all along: protection runs out by itself, jobs go on.
            self._break_until = None
            self._protected_since = None
            self.may_poll.set()
            return 0.0
        if self._protected_since is None:
            return until - now
        again_s = await self._try(protected=False, now=now)
        return until - now if again_s is None else min(again_s, until - now)

    async def _try(self, *, protected: bool, now: float) -> float | None:
        """Call the agent, not sooner than a failure before allows."""
        if now < self._retry_at:
            return self._retry_at - now
        if await self._set(protected=protected):
            return 0.0
        pause_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** (self._failures - 1))
        self._retry_at = now + pause_s
        return pause_s

    async def _set(self, *, protected: bool) -> bool:
        """Ask for protection or for its end; whether the agent did it."""
        self._asked = self._asked or protected
        try:
            await self._put(protected=protected)
        except Exception as error:  # whatever it is, the watch goes on, and a break must end
            self._failures += 1
            self._metrics.ecs_protection_failed()
            _log.warning(
                "ecs_protection_failed",
                protected=protected,
                reason=str(error) or type(error).__name__,
                failures=self._failures,
            )
            return False
        self._failures = 0
        self._retry_at = 0.0
        now = self._clock.now()
        if protected:
            if self._protected_since is None:
                self._protected_since = now
                _log.info("ecs_protection_set", expires_min=EXPIRES_MIN)
            self._renew_at = now + RENEW_AFTER_S
        else:
            self._protected_since = None
            self._asked = False
            _log.info("ecs_protection_cleared")
        return True

    async def _put(self, *, protected: bool) -> None:
        assert self._session is not None, "start() comes first"  # noqa: S101
        wish: dict[str, Any] = {"ProtectionEnabled": protected}
        if protected:
            wish["ExpiresInMinutes"] = EXPIRES_MIN
        async with self._session.put(self._url, json=wish) as response:
            body = await response.json(content_type=None)
            check_reply(response.status, body, protected=protected)


def check_reply(status: int, body: Any, *, protected: bool) -> None:
    """Read the agent's reply: a refusal may come with HTTP 200, in the body.

    Raises
    ------
    ProtectionRefused
        The body has a `failure` or an `error`, or its state is not what was asked for.
    """
    fields = body if isinstance(body, dict) else {}
    for name, key in (("failure", "Reason"), ("error", "Code")):
        block = fields.get(name)
        if block:
            block = block if isinstance(block, dict) else {key: str(block)}
            detail = block.get("Detail") or block.get("Message") or ""
            raise ProtectionRefused(f"{block.get(key, name)} {detail}".strip()[:300])
    if status >= 300:
        raise ProtectionRefused(f"HTTP {status}")
    state = fields.get("protection")
    if not isinstance(state, dict) or state.get("ProtectionEnabled") is not protected:
        raise ProtectionRefused("the agent's reply does not confirm the state that was asked for")
