"""One analysis process: started and warmed, given one job at a time, ended whatever it does.

It and the event loop speak over a pair of connected sockets, with no thread between them: a thread
that carries each job and each answer would take the interpreter from the loop several times a job.
The kernel closes the process's end with the process, whatever ends it, and after all that it said.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import pickle
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, cast

from worker import child, frames
from worker.failures import ErrorCode, JobFailure
from worker.logs import get_logger

WARM_UP_TIMEOUT_S: Final = 180
"""A cold start may compile for half a minute on a slow host; longer means that it hangs."""

END_S: Final = 5.0
"""How long the kernel may take to end a process that it was told to end, or that has ended."""

_STARTING: Final = threading.Lock()
"""Held while a process is started or ended: neither meets the other half-way."""

log = get_logger()


class ProcessDiedError(Exception):
    """The process ended before it answered."""


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Start a child that does not import the program's main module: the whole command line."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Line(asyncio.Protocol):
    """The loop's end of the sockets: one question at a time, and the pickle of its answer."""

    def __init__(self, stream: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._hang_up = select.poll()
        self._hang_up.register(stream, select.POLLHUP)
        self._decoder = frames.Decoder()
        self._answer: asyncio.Future[bytearray] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    @property
    def is_open(self) -> bool:
        """Whether the other end is; asked of the kernel, whom the loop may not have heard yet."""
        return not self.closed.done() and not self._hang_up.poll(0)

    def ask(self, function: Callable[[Any], Any], request: Any) -> asyncio.Future[bytearray]:
        """Send a job; the future holds its pickled answer, or `ProcessDiedError`.

        Raises
        ------
        Exception
            What pickle raises for a request that cannot leave its process. Nothing was sent.
        """
        parts = frames.encode((function, request))
        answer = self._loop.create_future()
        if self._transport is None or self._transport.is_closing() or self.closed.done():
            answer.set_exception(ProcessDiedError())
        else:
            self._answer = answer
            self._transport.writelines(parts)
        return answer

    def data_received(self, data: bytes) -> None:
        for pickled in self._decoder.pickles(data):
            if (answer := self._take()) is not None:
                answer.set_result(pickled)

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed.set_result(None)
        if (answer := self._take()) is not None:
            answer.set_exception(ProcessDiedError())

    def _take(self) -> asyncio.Future[bytearray] | None:
        """Give whoever still waits for the answer, and hold it no longer."""
        answer, self._answer = self._answer, None
        return None if answer is None or answer.done() else answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class AnalysisProcess:
    """One process, and the line to it."""

    def __init__(self, warm_ups: Sequence[Callable[[], None]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._warm_ups = list(warm_ups)
        self._more_time = context.RawValue(ctypes.c_double, 0.0)
        self._ours, self._theirs = socket.socketpair()
        self._process = context.Process(
            target=child.serve, args=(self._theirs, self._more_time, os.getpid()), daemon=True
        )
        self._line = _Line(self._ours)
        self._is_stopped = False
        self.pid = 0
        self.jobs = 0
        self.resident_mb = 0.0

    async def start(self) -> None:
        """Start the process and wait until it is warm.

        Raises
        ------
        ProcessDiedError
            It ended before it was warm.
        Exception
            What the warm-up raised.
        """
        # In a thread that lives as long as the process: the kernel ends a child with the thread
        # that started it.
        await asyncio.to_thread(self._launch)
        self._ours.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self._line, sock=self._ours)
        async with asyncio.timeout(WARM_UP_TIMEOUT_S):
            answer = _read(await self._line.ask(child.warm_up, self._warm_ups))
        if isinstance(answer.value, child.Raised):
            raise pickle.loads(answer.value.pickled)  # noqa: S301 - our own process
        self.pid = answer.value
        self.resident_mb = answer.resident_mb

    def _launch(self) -> None:
        with _STARTING:
            if self._is_stopped:
                raise ProcessDiedError
            with _without_main_module():
                self._process.start()
            self._theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether the process still holds its end."""
        return self._line.is_open

    async def wait_for_death(self) -> None:
        """Return once the process has let go of its end, as it does when it dies."""
        await asyncio.shield(self._line.closed)

    async def run(self, function: Callable[[Any], Any], request: Any, timeout_s: float) -> Any:
        """Run one job in the process.

        Raises
        ------
        JobFailure
            timeout, worker_lost, analysis_error. After the first two the process is of no use.
        """
        self._more_time.value = 0.0
        try:
            answer = self._line.ask(function, request)
        except Exception as error:
            raise _raised(type(error).__name__) from error
        limit = _Limit(answer, timeout_s, self._more_time)
        try:
            pickled = await answer
        except ProcessDiedError as error:
            raise await self._lost() from error
        finally:
            limit.lift()
            del answer, limit  # an error that a future holds would hold this frame, and so itself
        try:
            answered = _read(pickled)
        except Exception as error:
            raise _raised(type(error).__name__) from error
        self.jobs += 1
        self.resident_mb = answered.resident_mb
        if isinstance(answered.value, child.Raised):
            log.error("analysis_raised", error=answered.value.name, trace=answered.value.trace)
            raise _raised(answered.value.name)
        return answered.value

    async def _lost(self) -> JobFailure:
        await asyncio.to_thread(self._process.join, END_S)
        code = self._process.exitcode
        how = f" with exit code {code}" if code is not None else ""
        return JobFailure(ErrorCode.WORKER_LOST, f"The analysis process died{how}.")

    async def stop(self) -> None:
        """End the process at once, whatever it does."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._line.close()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        with _STARTING:
            self._ours.close()
            self._theirs.close()
        if self._process.ident is not None:  # it was started
            self._process.kill()
            self._process.join(END_S)


class _Limit:
    """A job's time limit, on the monotonic clock, which the process may lengthen as it runs."""

    def __init__(
        self, answer: asyncio.Future[bytearray], timeout_s: float, more_time: ctypes.c_double
    ) -> None:
        self._answer = answer
        self._timeout_s = timeout_s
        self._more_time = more_time
        self._started = time.monotonic()
        self._timer = answer.get_loop().call_later(timeout_s, self._look)

    def lift(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        allowed_s = self._timeout_s + self._more_time.value
        left_s = self._started + allowed_s - time.monotonic()
        if left_s > 0:
            self._timer = self._answer.get_loop().call_later(left_s, self._look)
        elif not self._answer.done():
            self._answer.set_exception(
                JobFailure(
                    ErrorCode.TIMEOUT,
                    f"The analysis did not end within {allowed_s:.0f} s and was stopped.",
                )
            )


def _read(pickled: bytearray) -> child.Answer:
    answer: child.Answer = pickle.loads(pickled)  # noqa: S301 - our own process
    return answer


def _raised(name: str) -> JobFailure:
    return JobFailure(ErrorCode.ANALYSIS_ERROR, f"The analysis raised {name}.")
