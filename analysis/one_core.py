"""Threads that a library starts by itself, kept on one core."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Have threads that are started inside share the core on which the caller runs now.

    Praat cuts a pitch analysis into as many threads as the machine has cores, up to 16, and no
    setting of its library says otherwise; threads inherit the affinity of the one that starts
    them. Does nothing where a thread cannot be bound (macOS, a sandbox that forbids it).
    """
    try:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {ctypes.CDLL(None).sched_getcpu()})
    except (AttributeError, OSError):
        yield
        return
    try:
        yield
    finally:
        # Refused only where none of these cores is the caller's any more: it was moved then.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, allowed)
