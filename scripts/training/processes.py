"""Processes that compute side by side, one core each."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def one_core_each(processes: int) -> ProcessPoolExecutor:
    """Return a pool whose processes do not take each other's cores for their matrix products."""
    return ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_keep_to_one_thread
    )


def _keep_to_one_thread() -> None:
    import numpy  # noqa: F401, ICN001 - its threads are those to be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
