"""As many analysis processes as there are slots, each replaced after any loss."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from worker.analysis_process import AnalysisProcess, ProcessDiedError
from worker.failures import ErrorCode, JobFailure
from worker.logs import get_logger

if TYPE_CHECKING:
    from worker.metrics import Metrics

START_ATTEMPTS: Final = 3
RESTART_PAUSE_S: Final = 1.0
RESTART_MAX_PAUSE_S: Final = 30.0

# The parallelism of a worker is its processes.
ONE_THREAD: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
DEFAULTS: Final = {
    # A cache compiled for the build machine's CPU would be compiled anew on every other model.
    "NUMBA_CPU_NAME": "generic",
    # glibc hands a big array back to the kernel at once and gets it anew for the next one, page by
    # page: 4,450 page faults a line of 10 s. What a longer line takes is still handed back.
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
}

log = get_logger()


def set_environment() -> None:
    """Set what processes that analyse must find when they start."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


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
        set_environment()
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
            except ProcessDiedError as error:
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
