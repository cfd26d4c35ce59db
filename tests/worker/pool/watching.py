"""What the tests of the pool wait for and look at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from worker.failures import ErrorCode, JobFailure
from worker.metrics import PREFIX, Metrics
from worker.pool import AnalysisPool

LONG_S = 60.0
LARGE_BYTES = 8 * 2**20
"""Far more than a pipe holds."""

MakePool = Callable[..., Awaitable[AnalysisPool]]


async def until(condition: Callable[[], object], what: str, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not {what} within {within_s} s"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def resident_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def restarts(metrics: Metrics, cause: str) -> float:
    labels = {"cause": cause}
    return metrics.registry.get_sample_value(f"{PREFIX}_child_restarts_total", labels) or 0


async def begun(flag: Path) -> int:
    """Wait until a job says that it runs; its process id."""
    await until(lambda: flag.exists() and flag.read_text(), f"begun ({flag.name})")
    return int(flag.read_text())  # noqa: ASYNC240


async def code_of(job: Awaitable[object]) -> ErrorCode:
    with pytest.raises(JobFailure) as raised:
        await job
    return raised.value.code
