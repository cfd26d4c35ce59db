"""A measurement in a process of its own, where nothing was loaded, cached or grown before."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from worker.pool import set_environment

P = ParamSpec("P")
T = TypeVar("T")

_STATUS: Final = Path("/proc/self/status")
_KB_IN_MB: Final = 1024


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in a new process, set up as analysis processes are."""
    set_environment()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        return process.submit(function, *args, **kwargs).result()


def peak_mb() -> float:
    """The most memory that this process ever held resident, as the kernel counted it.

    Not `getrusage`: its maximum begins with what the parent held.
    """
    for row in _STATUS.read_text().splitlines():
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) / _KB_IN_MB
    raise RuntimeError(f"{_STATUS} has no VmHWM")
