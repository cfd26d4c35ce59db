"""A steady pace of deliveries to one consumer: at most so many a second, evenly spaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MAX_WAIT_S: Final = 60.0
"""Longer than this nobody waits here: the queue is the better place to wait."""


class PaceExceeded(Exception):
    """The next free turn is too far off.

    Parameters
    ----------
    retry_after_s
        When there may be one.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"no turn for another {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Pace:
    """Hands out turns, 1/rate seconds apart (the generic cell rate algorithm with no burst).

    Parameters
    ----------
    per_second
        Turns a second.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = 1 / per_second
        self._clock = clock
        self._next_s = 0.0

    def wait_s(self) -> float:
        """Seconds until the next free turn, which is left free."""
        return max(0.0, self._next_s - self._clock())

    def reserve(self, max_wait_s: float = MAX_WAIT_S) -> float:
        """Take the next free turn.

        Returns
        -------
        float
            Seconds to wait before it.

        Raises
        ------
        PaceExceeded
            The turn is more than `max_wait_s` away; none is taken.
        """
        now = self._clock()
        wait_s = max(0.0, self._next_s - now)
        if wait_s > max_wait_s:
            raise PaceExceeded(wait_s)
        self._next_s = max(now, self._next_s) + self._interval_s
        return wait_s
