"""Entries that arrive one by one and are sent together, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ENTRY_ATTEMPTS: Final = 3
"""How often an entry is sent before its failure is told."""

RETRY_PAUSE_S: Final = 0.2


class EntryError(Exception):
    """One entry of a batch was refused; the text is the other side's reason."""


class Batcher(Generic[T]):
    """Collects entries and sends them when there are enough or some time has passed.

    Parameters
    ----------
    send
        Sends the entries; returns the reasons of those that failed, by index.
    limit
        The most entries in one request.
    linger_s
        How long the first entry waits for others.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[Mapping[int, str]]],
        limit: int,
        linger_s: float,
    ) -> None:
        self._send = send
        self._limit = limit
        self._linger_s = linger_s
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def submit(self, entry: T) -> None:
        """Send an entry with others; return once it was accepted.

        Raises
        ------
        EntryError
            The entry was refused `ENTRY_ATTEMPTS` times.
        """
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[None] = loop.create_future()
        self._waiting.append((entry, accepted))
        if len(self._waiting) >= self._limit:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(self._linger_s, self._start)
        await accepted

    async def flush(self, within_s: float | None = None) -> None:
        """Send what is waiting and wait for every answer.

        What is not answered `within_s` is given up: whoever waits for it gets a TimeoutError.
        """
        self._start()
        try:
            async with asyncio.timeout(within_s):
                while self._sending:
                    await asyncio.wait(self._sending)
        except TimeoutError:
            late = list(self._sending)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _run(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            await self._send_all(batch)
        except asyncio.CancelledError:
            for _, accepted in batch:
                _tell(accepted, TimeoutError("no answer in time"))
            raise

    async def _send_all(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        for attempt in range(1, ENTRY_ATTEMPTS + 1):
            last = attempt == ENTRY_ATTEMPTS
            try:
                failed = await self._send([entry for entry, _ in batch])
            except Exception as error:  # told to every one who waits
                if last:
                    for _, accepted in batch:
                        _tell(accepted, error)
                    return
            else:
                again = []
                for i, (entry, accepted) in enumerate(batch):
                    if i not in failed:
                        _tell(accepted, None)
                    elif last:
                        _tell(accepted, EntryError(failed[i]))
                    else:
                        again.append((entry, accepted))
                batch = again
                if not batch:
                    return
            await asyncio.sleep(RETRY_PAUSE_S * attempt)


def _tell(accepted: asyncio.Future[None], error: Exception | None) -> None:
    if accepted.done():  # whoever waited was cancelled
        return
    if error is None:
        accepted.set_result(None)
    else:
        accepted.set_exception(error)
