"""Analysis processes: one job at a time each, warmed before they count, replaced after any loss.

One single-worker pebble pool for each slot: killing one idle child breaks a whole pebble pool for
ever, and its own time limit runs on the wall clock; so the limit is kept here, on the monotonic
clock, and a pool that lost its child is thrown away.
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
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import psutil
from pebble import ProcessExpired, ProcessPool
from pebble.common.types import CONSTS

from worker import child
from worker.failures import ErrorCode, JobFailure
from worker.logs import get_logger

if TYPE_CHECKING:
    from worker.metrics import Metrics

WARM_UP_TIMEOUT_S: Final = 180
"""A cold start may compile for half a minute on a slow host; longer means that it hangs."""

DEATH_NEWS_S: Final = 1.0
"""How long pebble may take to tell of a death that the kernel has already told."""

POOL_LOOK_S: Final = 0.25
"""How often each of pebble's two threads a pool wakes up to look. By itself it is 0.1 s, which is
most of what an idle worker costs; deaths are told by the kernel here, and limits kept by us."""

START_ATTEMPTS: Final = 3
RESTART_PAUSE_S: Final = 1.0
RESTART_MAX_PAUSE_S: Final = 30.0

THREAD_LIMITS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

_MAIN_MODULE: Final = threading.Lock()

log = get_logger()


CONSTS.sleep_unit = POOL_LOOK_S


def limit_threads() -> None:
    """Have numeric libraries use one thread: the parallelism of a worker is its processes."""
    for name in THREAD_LIMITS:
        os.environ[name] = "1"
    # A cache compiled for the build machine's CPU would be compiled anew on every other model.
    os.environ.setdefault("NUMBA_CPU_NAME", "generic")


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
        self._died = asyncio.Event()
        self._is_stopped = False
        self._pidfd: int | None = None
        self._death = select.poll()
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
            self._died.set()
            return
        self._death.register(self._pidfd, select.POLLIN)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_death)

    def _on_death(self) -> None:
        self._unwatch()
        self._died.set()

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    @property
    def is_alive(self) -> bool:
        """Whether the child still runs."""
        if self._died.is_set():
            return False
        if self._pidfd is not None:  # the loop may not have heard the kernel yet
            return not self._death.poll(0)
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        return False

    async def wait_for_death(self) -> None:
        """Return once the child has died."""
        await self._died.wait()

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
        death = asyncio.ensure_future(self._died.wait())
        try:
            while not future.done():
                left = started + timeout_s + self._more_time.value - time.monotonic()
                if left <= 0:
                    raise JobFailure(
                        ErrorCode.TIMEOUT,
                        f"The analysis did not end within {timeout_s + self._more_time.value:.0f} "
                        "s and was stopped.",
                    )
                waited: set[asyncio.Future[Any]] = {future, death}
                await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if death.done() and not future.done():
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
            death.cancel()
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
        self._died.set()
        await asyncio.to_thread(self._end_pool)

    def _kill(self) -> None:
        """Kill the child itself: never a process that has got its number since it died."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            elif self.pid and not self._died.is_set():
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


class AnalysisPool:
    """As many analysis processes as there are slots.

    Parameters
    ----------
    slots
        How many.
    warm_ups
        What each process runs before it counts.
    max_jobs, max_mb
        A process is replaced after this many jobs, or when it holds more memory than this.
    """

    def __init__(
        self,
        slots: int,
        *,
        warm_ups: Sequence[Callable[[], None]],
        max_jobs: int,
        max_mb: float,
        metrics: Metrics,
    ) -> None:
        self._target = slots
        self._warm_ups = warm_ups
        self._max_jobs = max_jobs
        self._max_mb = max_mb
        self._metrics = metrics
        self._all: set[AnalysisProcess] = set()
        self._idle: deque[AnalysisProcess] = deque()
        self._waiting: deque[asyncio.Future[AnalysisProcess]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._is_stopping = False

    @property
    def size(self) -> int:
        """Processes that are warm."""
        return len(self._all)

    @property
    def busy(self) -> int:
        """Processes that compute."""
        return len(self._all) - len(self._idle)

    @property
    def pids(self) -> list[int]:
        """The process ids of the warm processes."""
        return [process.pid for process in self._all]

    async def start(self) -> None:
        """Start every process; return once all are warm.

        Raises
        ------
        Exception
            What the warm-up raised: the installation is not usable. A process that was killed
            while it warmed up is no such thing, and is started again.
        """
        limit_threads()
        await asyncio.gather(*(self._start_first() for _ in range(self._target)))

    async def run(
        self,
        function: Callable[[Any], Any],
        request: Any,
        timeout_s: float,
        *,
        on_started: Callable[[], None] = lambda: None,
    ) -> Any:
        """Run a job in the next free process. Cancelling kills the process, and so the job."""
        process = await self._acquire()
        on_started()
        try:
            value = await process.run(function, request, timeout_s)
        except JobFailure as failure:
            if failure.code in (ErrorCode.TIMEOUT, ErrorCode.WORKER_LOST):
                self._replace(process, str(failure.code))
            else:
                self._give_back(process)
            raise
        except BaseException as error:
            is_cancelled = isinstance(error, asyncio.CancelledError)
            self._replace(process, "cancelled" if is_cancelled else "fault")
            raise
        self._give_back(process)
        return value

    async def resize(self, slots: int) -> None:
        """Change the number of processes; one that is too many ends after its job."""
        self._target = slots
        while self._idle and len(self._all) + self._starting > self._target:
            self._retire(self._idle.popleft())
        missing = self._target - len(self._all) - self._starting
        for _ in range(max(0, missing)):
            self._spawn(self._restart())
        self._report()

    async def stop(self) -> None:
        """End every process."""
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._all))
        self._all.clear()
        self._idle.clear()

    async def _start_one(self) -> None:
        self._starting += 1
        try:
            process = AnalysisProcess(self._warm_ups)
            try:
                await process.start()
            except BaseException:
                await process.stop()
                raise
        finally:
            self._starting -= 1
        if process.resident_mb > self._max_mb:
            log.warning(
                "warm_process_above_memory_mark",
                resident_mb=round(process.resident_mb),
                advice="Each process is replaced after a single job: raise WORKER_CHILD_MAX_MB.",
            )
        self._all.add(process)
        self._spawn(self._bury(process))
        self._give_back(process)

    async def _start_first(self) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                return await self._start_one()
            except (ProcessExpired, BrokenProcessPool) as error:
                if attempt == START_ATTEMPTS:
                    raise
                log.warning("analysis_process_died_while_starting", error=repr(error)[:200])
        return None

    async def _restart(self) -> None:
        """Start one process, and try again for as long as it takes."""
        pause = RESTART_PAUSE_S
        while not self._is_stopping:
            try:
                await self._start_one()
            except Exception as error:
                log.error("analysis_process_failed_to_start", error=repr(error)[:500])
                await asyncio.sleep(pause)
                pause = min(pause * 2, RESTART_MAX_PAUSE_S)
            else:
                return

    async def _bury(self, process: AnalysisProcess) -> None:
        """Replace a process that died while it was idle."""
        await process.wait_for_death()
        if process in self._idle:
            self._idle.remove(process)
            self._replace(process, "died_idle")

    async def _acquire(self) -> AnalysisProcess:
        while self._idle:
            process = self._idle.popleft()
            if process.is_alive:
                self._report()
                return process
            self._replace(process, "died_idle")
        waiter: asyncio.Future[AnalysisProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_back(waiter.result())
            raise

    def _give_back(self, process: AnalysisProcess) -> None:
        """Hand a process to whoever waits, unless its time has come."""
        if process.jobs >= self._max_jobs:
            self._replace(process, "max_jobs")
        elif process.jobs and process.resident_mb > self._max_mb:
            self._replace(process, "max_memory")
        elif len(self._all) > self._target:
            self._retire(process)
        elif not process.is_alive:
            self._replace(process, "died_idle")
        else:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(process)
                    break
            else:
                self._idle.append(process)
        self._report()

    def _replace(self, process: AnalysisProcess, cause: str) -> None:
        log.info("analysis_process_replaced", pid=process.pid, cause=cause, jobs=process.jobs)
        self._metrics.child_restarted(cause)
        self._retire(process)
        if not self._is_stopping and len(self._all) + self._starting < self._target:
            self._spawn(self._restart())

    def _retire(self, process: AnalysisProcess) -> None:
        self._all.discard(process)
        self._spawn(process.stop())
        self._report()

    def _report(self) -> None:
        self._metrics.slots(total=self.size, busy=self.busy)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
