"""Pools of scripted jobs, which end with their test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import pytest_asyncio

from tests.worker import pool_jobs as jobs
from tests.worker.pool.watching import (
    MakePool,
)
from worker.metrics import Metrics
from worker.pool import AnalysisPool


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture
async def make_pool(metrics: Metrics) -> AsyncIterator[MakePool]:
    made: list[AnalysisPool] = []

    async def make(
        slots: int = 1,
        *,
        warm_ups: Sequence[Callable[[], None]] = (jobs.nothing,),
        max_jobs: int = 1000,
        max_mb: float = 1024,
    ) -> AnalysisPool:
        pool = AnalysisPool(
            slots, warm_ups=warm_ups, max_jobs=max_jobs, max_mb=max_mb, metrics=metrics
        )
        made.append(pool)
        await pool.start()
        return pool

    yield make
    for pool in made:
        await pool.stop()
