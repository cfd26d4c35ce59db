"""One analysis process: started and warmed, given one job at a time, ended whatever it does.

One single-worker pebble pool for each: killing one idle child breaks a whole pebble pool for ever,
and its own time limit runs on the wall clock; so the limit is kept here, on the monotonic clock,
and a pool that lost its child is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import psutil
from pebble import ProcessExpired, ProcessPool
from pebble.common.types import CONSTS

from worker import child
from worker.failures import ErrorCode, JobFailure
from worker.logs import get_logger

WARM_UP_TIMEOUT_S: Final = 180
"""A cold start may compile for half a minute on a slow host; longer means that it hangs."""

DEATH_NEWS_S: Final = 1.0
"""How long pebble may take to tell of a death that the kernel has already told."""

POOL_LOOK_S: Final = 0.25
"""How often each of pebble's two threads a pool wakes up to look. By itself it is 0.1 s, which is
most of what an idle worker costs; deaths are told by the kernel here, and limits kept by us."""

_MAIN_MODULE: Final = threading.Lock()

log = get_logger()

CONSTS.sleep_unit = POOL_LOOK_S


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Start a child that does not import the program's main module: the whole command line."""
    with _MAIN_MODULE:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class AnalysisProcess:
    """One child in a pebble pool of its own."""

    def __init__(self, warm_ups: Sequence[Callable[[], None]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._more_time = context.RawValue(ctypes.c_double, 0.0)
        self._pool: Any = ProcessPool(
            max_workers=1,
            context=context,
            initializer=child.initialise,
            initargs=(self._more_time, os.getpid()),
        )
        self._warm_ups = list(warm_ups)
        # One for all jobs: an event would take a task for each.
        self._death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_stopped = False
        self._pidfd: int | None = None
        self._news = select.poll()
        self.pid = 0
        self.jobs = 0
        self.resident_mb = 0.0

    async def start(self) -> None:
        """Start the child and wait until it is warm."""
        # In a thread that lives as long as the process: the kernel ends a child with the thread
        # that started it.
        future = await asyncio.to_thread(self._launch)
        async with asyncio.timeout(WARM_UP_TIMEOUT_S):
            answer: child.Answer = await asyncio.wrap_future(future)
        self.pid = answer.value
        self.resident_mb = answer.resident_mb
        self._watch()

    def _launch(self) -> Any:
        with _without_main_module():
            return self._pool.schedule(child.warm_up, args=[self._warm_ups])

    def _watch(self) -> None:
        """Have the kernel tell when the child dies, be it idle, receiving or computing."""
        if not hasattr(os, "pidfd_open"):
            return
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._note_death()
            return
        self._news.register(self._pidfd, select.POLLIN)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_death)

    def _on_death(self) -> None:
        self._unwatch()
        self._note_death()

    def _note_death(self) -> None:
        if not self._death.done():
            self._death.set_result(None)

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    @property
    def is_alive(self) -> bool:
        """Whether the child still runs."""
        if self._death.done():
            return False
        if self._pidfd is not None:  # the loop may not have heard the kernel yet
            return not self._news.poll(0)
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        return False

    async def wait_for_death(self) -> None:
        """Return once the child has died."""
        await asyncio.shield(self._death)

    async def run(self, function: Callable[[Any], Any], request: Any, timeout_s: float) -> Any:
        """Run one job in the child.

        Raises
        ------
        JobFailure
            timeout, worker_lost, analysis_error. After the first two the process is of no use.
        """
        self._more_time.value = 0.0
        started = time.monotonic()
        try:
            # It only puts the job into a queue: the child has been started before.
            future = asyncio.wrap_future(self._pool.schedule(child.call, args=[function, request]))
        except RuntimeError as error:  # pebble has noticed the death already
            raise _lost(error) from error
        waited: set[asyncio.Future[Any]] = {future, self._death}
        try:
            while not future.done():
                left = started + timeout_s + self._more_time.value - time.monotonic()
                if left <= 0:
                    raise JobFailure(
                        ErrorCode.TIMEOUT,
                        f"The analysis did not end within {timeout_s + self._more_time.value:.0f} "
                        "s and was stopped.",
                    )
                await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if self._death.done() and not future.done():
                    await asyncio.wait({future}, timeout=DEATH_NEWS_S)
                    if not future.done():
                        raise _lost()
            answer: child.Answer = future.result()
        except _LOSSES as error:
            raise _lost(error) from error
        except (JobFailure, asyncio.CancelledError):
            raise
        except Exception as error:  # the request could not be sent, or the value not sent back
            raise _raised(type(error).__name__) from error
        finally:
            if not future.done():
                # A look-up of the result would end in a log line about an error nobody awaits.
                future.add_done_callback(lambda f: f.cancelled() or f.exception())
        self.jobs += 1
        self.resident_mb = answer.resident_mb
        if isinstance(answer.value, child.Raised):
            log.error("analysis_raised", error=answer.value.name, trace=answer.value.trace)
            raise _raised(answer.value.name)
        return answer.value

    async def stop(self) -> None:
        """End the child at once, whatever it does."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._kill()
        self._unwatch()
        self._note_death()
        await asyncio.to_thread(self._end_pool)

    def _kill(self) -> None:
        """Kill the child itself: never a process that has got its number since it died."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            elif self.pid and not self._death.done():
                os.kill(self.pid, signal.SIGKILL)

    def _end_pool(self) -> None:
        self._pool.stop()
        self._pool.join()


_LOSSES: Final = (ProcessExpired, BrokenProcessPool, FutureCancelled, BrokenPipeError, EOFError)
"""What pebble raises when the child died computing, idle or receiving."""


def _raised(name: str) -> JobFailure:
    return JobFailure(ErrorCode.ANALYSIS_ERROR, f"The analysis raised {name}.")


def _lost(error: BaseException | None = None) -> JobFailure:
    code = getattr(error, "exitcode", None)
    how = f" with exit code {code}" if code is not None else ""
    return JobFailure(ErrorCode.WORKER_LOST, f"The analysis process died{how}.")
