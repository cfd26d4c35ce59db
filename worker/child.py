"""What runs inside an analysis process, around a handler's own functions."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import psutil

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): have the kernel send a signal when the parent ends."""

MB: Final = 2**20

_more_time: ctypes.c_double | None = None


@dataclass(frozen=True)
class Raised:
    """What a function raised, as text: not every exception survives the way to the parent."""

    name: str
    trace: str


@dataclass(frozen=True)
class Answer:
    """A function's value, or `Raised`, with the memory that the process holds after it."""

    value: Any
    resident_mb: float


def initialise(more_time: Any, parent_pid: int) -> None:
    """Make the process one that ends with its parent and leaves Ctrl-C to it."""
    global _more_time  # noqa: PLW0603 - one process, one job at a time
    _more_time = more_time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # the parent was gone before the kernel was asked
            os._exit(1)


def allow_more_time(seconds: float) -> None:
    """Lengthen the running job's time limit by the recording's seconds."""
    if _more_time is not None:
        _more_time.value = seconds


def warm_up(functions: Sequence[Callable[[], None]]) -> Answer:
    """Run the warm-up of every handler; the answer's value is the process id."""
    for function in functions:
        function()
    return Answer(os.getpid(), _resident_mb())


def call(function: Callable[[Any], Any], request: Any) -> Answer:
    """Run one analysis."""
    if _more_time is not None:
        _more_time.value = 0.0
    value: Any
    try:
        value = function(request)
    except Exception as error:
        value = Raised(type(error).__name__, traceback.format_exc())
    return Answer(value, _resident_mb())


def _resident_mb() -> float:
    return float(_this_process().memory_info().rss) / MB


@cache
def _this_process() -> psutil.Process:
    # Made once: each one made looks up when the process began.
    return psutil.Process()
