"""A circuit breaker: a consumer that keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FAILURES_TO_OPEN: Final = 5
"""Failed attempts in a row: more than one delivery's three, so it takes more than one event."""

FIRST_PAUSE_S: Final = 10.0
LONGEST_PAUSE_S: Final = 60.0
"""No longer than the queue's first back-off by default, so that a job that is turned away finds
the consumer due for a trial when it comes back, and no receive is spent in vain."""


class BreakerOpen(Exception):
    """The consumer is not tried for the moment.

    Parameters
    ----------
    retry_after_s
        When the next trial is due.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"not tried for another {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Breaker:
    """The state of one consumer: closed, open, or half open with one trial under way.

    Every `admit` is followed by exactly one of `succeeded`, `failed` and `abandoned`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None
        self._on_trial = False

    @property
    def is_open(self) -> bool:
        """Whether events are turned away, all but the one on trial."""
        return self._open_until is not None

    def check(self) -> None:
        """Raise `BreakerOpen` if an attempt would be turned away now; changes nothing."""
        if self._open_until is None:
            return
        left_s = self._open_until - self._clock()
        if self._on_trial:
            raise BreakerOpen(self._pause_s)
        if left_s > 0:
            raise BreakerOpen(left_s)

    def admit(self) -> None:
        """Let an attempt through, or raise `BreakerOpen`."""
        self.check()
        if self._open_until is not None:
            self._on_trial = True

    def succeeded(self) -> None:
        """The consumer answered: close."""
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until = None
        self._on_trial = False

    def failed(self) -> None:
        """An attempt failed: open at the limit; after a failed trial, for twice as long."""
        self._failures += 1
        if self._open_until is None:
            if self._failures >= FAILURES_TO_OPEN:
                self._open_until = self._clock() + self._pause_s
        elif self._on_trial:
            # Attempts that were let through before it opened fail late and count for nothing.
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self._open_until = self._clock() + self._pause_s
            self._on_trial = False

    def abandoned(self) -> None:
        """An attempt ended without saying anything about the consumer: a trial is due again."""
        self._on_trial = False
