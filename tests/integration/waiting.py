"""Waiting for a condition, with a bound and a word on what was waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STEP_S = 0.03


def wait_for(
    found: Callable[[], T | None],
    *,
    within_s: float,
    what: str,
    seen: Callable[[], object] = lambda: "",
) -> T:
    """Ask again and again until something truthy is found.

    Parameters
    ----------
    what
        What is waited for, as the failure names it.
    seen
        What there is instead; asked only on failure.
    """
    deadline = time.monotonic() + within_s
    while True:
        if value := found():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {within_s:g} s; seen: {seen()}")
        time.sleep(STEP_S)
