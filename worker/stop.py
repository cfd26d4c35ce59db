"""How a worker is told to stop: SIGTERM and SIGINT, once for a drain, twice for at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from worker.logs import get_logger

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

log = get_logger()


class Stop:
    """SIGTERM and SIGINT: the first asks for a drain, the second stops at once."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._first: Callable[[], None] | None = None
        self._second: Callable[[], None] | None = None
        self._serving: asyncio.Task[int] | None = None
        self._asked = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask, number)

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked > 0

    @property
    def asked_twice(self) -> bool:
        """Whether it was asked for again."""
        return self._asked > 1

    def hand_over(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """From now on a stop is a drain; before, there is nothing to drain."""
        self._first, self._second = first, second
        if self._asked:
            first()

    async def or_result(self, serving: Coroutine[Any, Any, int], *, stopped_early: int) -> int:
        """Run the service; a stop before it serves ends it, with nothing to settle."""
        if self._asked:
            serving.close()
            return stopped_early
        self._serving = asyncio.create_task(serving)
        try:
            return await self._serving
        except asyncio.CancelledError:
            if self._asked and self._first is None:
                return stopped_early
            raise

    def forget(self) -> None:
        """Take the signal handlers away."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)

    def _ask(self, number: signal.Signals) -> None:
        self._asked += 1
        log.info("stop_asked", signal=number.name, times=self._asked)
        if self._first is None:
            if self._serving is not None:
                self._serving.cancel()
        elif self._asked == 1:
            self._first()
        elif self._second is not None:
            self._second()
