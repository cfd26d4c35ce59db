"""What the analysis processes of the pool's tests run: one fault a function."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from worker.failures import ErrorCode, JobFailure

FOREVER_S = 600

_held: list[bytes] = []


def nothing() -> None:
    """A warm-up with nothing to warm."""


def slow_to_warm() -> None:
    """A warm-up that waits for a file named by the environment."""
    gate = Path(os.environ["TEST_WARM_UP_GATE"])
    while not gate.exists():
        time.sleep(0.01)


def hopeless() -> None:
    """A warm-up of an installation that is broken."""
    raise ImportError("no model on this host")


def pid(_request: object) -> int:
    """Which process it ran in."""
    return os.getpid()


def echo_size(request: bytes) -> int:
    """How much arrived."""
    return len(request)


def hang(flag: str) -> None:
    """Say that it began, and never end."""
    Path(flag).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(FOREVER_S)


def hang_whatever(_request: object) -> None:
    """Never end."""
    time.sleep(FOREVER_S)


def until_exists(paths: tuple[str, str]) -> int:
    """Say that it began, and end when told."""
    flag, gate = paths
    Path(flag).write_text(str(os.getpid()), encoding="ascii")
    while not Path(gate).exists():
        time.sleep(0.01)
    return os.getpid()


def longer_than_allowed(seconds: tuple[float, float]) -> str:
    """Ask for more time as a long recording does, then use it."""
    from worker.child import allow_more_time

    more_s, needed_s = seconds
    allow_more_time(more_s)
    time.sleep(needed_s)
    return "done"


def segfault(_request: object) -> None:
    """Die as a native library does."""
    ctypes.string_at(0)


def abort(_request: object) -> None:
    """Die as an assertion in C does."""
    os.abort()


def exit_quietly(_request: object) -> None:
    """Die without a word and with a good exit code."""
    os._exit(0)


def grow(megabytes: int) -> int:
    """Hold on to memory, as a leak does."""
    _held.append(os.urandom(1024) * 1024 * megabytes)
    return os.getpid()


def fail_holding(megabytes: int) -> None:
    """Raise with so much in hand."""
    held = b"x" * (megabytes * 2**20)
    raise LookupError(len(held))


def answer_of(megabytes: int) -> bytes:
    """Return so much."""
    return b"x" * (megabytes * 2**20)


def start_program(_request: object) -> int:
    """Start a program that inherits what it can, and outlives this process."""
    sleeper = [sys.executable, "-c", f"import time; time.sleep({FOREVER_S})"]
    return subprocess.Popen(sleeper, close_fds=False, start_new_session=True).pid


def fail(_request: object) -> None:
    """Raise."""
    raise LookupError("nobody foresaw this")


class AwkwardError(Exception):
    """An exception that pickles and does not unpickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


class SpeechlessError(AwkwardError):
    """One that cannot be written either."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def fail_speechlessly(_request: object) -> None:
    """Raise what can neither be read nor written."""
    raise SpeechlessError("a", "b")


def fail_awkwardly(_request: object) -> None:
    """Raise what the parent cannot read."""
    raise AwkwardError("a", "b")


def answer_awkwardly(_request: object) -> Any:
    """Return what cannot be sent."""
    return lambda: None


class Unreadable:
    """What pickles and does not unpickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def answer_unreadably(_request: object) -> Unreadable:
    """Return what the parent cannot read."""
    return Unreadable()


class Raising:
    """What raises an error of its choice where it is read."""

    def __init__(self, error: type[Exception], *arguments: object) -> None:
        self.how = error, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _raise, self.how


def _raise(error: type[Exception], arguments: tuple[object, ...]) -> None:
    raise error(*arguments)


def answer_that_stops(_request: object) -> Raising:
    """Return what looks like the end of an iteration to whoever reads it."""
    return Raising(StopIteration)


def answer_that_is_late(_request: object) -> Raising:
    """Return what looks like the time limit's own error to whoever reads it."""
    return Raising(JobFailure, ErrorCode.TIMEOUT, "not so")


class Watched:
    """A request that can be watched from outside."""


class SlowToReceive:
    """A request whose arrival takes for ever: the process is receiving, not yet computing."""

    def __init__(self, flag: str) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (self.flag,)


def _receive(flag: str) -> None:
    hang(flag)


def page_faults(_request: object) -> int:
    """How many pages the kernel must hand out anew for arrays such as the last ones were."""

    def arrays() -> None:
        held = [b"x" * (6 * 2**20) for _ in range(3)]
        held.clear()

    arrays()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        arrays()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def has_module(name: str) -> bool:
    """Whether a module was imported in this process."""
    return name in sys.modules
