"""Waiting for what another side does, and tells nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Return once the condition holds; raises TimeoutError if it never does."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  the condition is another's state
            await asyncio.sleep(0.002)
