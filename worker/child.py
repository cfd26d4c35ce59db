"""What runs inside an analysis process, around a handler's own functions."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import psutil

from worker import frames

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): have the kernel send a signal when the parent ends."""

MB: Final = 2**20

_more_time: ctypes.c_double | None = None


@dataclass(frozen=True)
class Raised:
    """What a function raised: its name, its traceback, and the pickle of itself or of its text."""

    name: str
    trace: str
    pickled: bytes

    @classmethod
    def now(cls, error: Exception) -> Raised:
        """Describe the error that is being handled; it is not held, nor what its frames hold."""
        return cls(type(error).__name__, traceback.format_exc(), _pickled(error))


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


def serve(stream: socket.socket, more_time: Any, parent_pid: int) -> None:
    """Do one job after the other, until the parent closes its end."""
    initialise(more_time, parent_pid)
    # A program that an analysis starts would hold the line open after its death.
    stream.set_inheritable(False)
    with stream:
        while True:
            try:
                _send(stream, _answer(frames.receive(stream)))
            except (EOFError, ConnectionError):
                return


def warm_up(functions: Sequence[Callable[[], None]]) -> int:
    """Run the warm-up of every handler; give the process id."""
    for function in functions:
        function()
    return os.getpid()


def _answer(pickled: bytearray) -> Answer:
    try:
        function, request = pickle.loads(pickled)  # noqa: S301 - our own parent
        del pickled  # it holds the recording a second time
        return Answer(function(request), _resident_mb())
    except Exception as error:
        return Answer(Raised.now(error), _resident_mb())


def _send(stream: socket.socket, answer: Answer) -> None:
    try:
        parts = frames.encode(answer)
    except Exception as error:
        parts = frames.encode(Answer(Raised.now(error), answer.resident_mb))
    for part in parts:
        stream.sendall(part)


def _pickled(error: Exception) -> bytes:
    """Pickle an error; as its text where it cannot be read back."""
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 - our own
    except Exception:
        text = "".join(traceback.format_exception_only(error)).strip()
        return pickle.dumps(RuntimeError(text))
    return pickled


def _resident_mb() -> float:
    return float(_this_process().memory_info().rss) / MB


@cache
def _this_process() -> psutil.Process:
    # Made once: each one made looks up when the process began.
    return psutil.Process()
