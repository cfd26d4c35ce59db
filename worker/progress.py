"""Progress of one job, told while it lasts: best effort, in order, and never after its result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from worker.contract import Addressee, Event, EventType, build_event

if TYPE_CHECKING:
    from types import TracebackType

ACCEPTED: Final = 10
DOWNLOADED: Final = 40
ANALYSING: Final = 70
"""Percentages by stage; 100 belongs to the final event alone."""


class AttemptSender(Protocol):
    """What progress is sent with: `WebhookSender.attempt`."""

    async def attempt(self, url: str, event: Event, *, traceparent: str | None = None) -> bool:
        """Send an event once; never raises."""


class Progress:
    """Tells a consumer how far its job is.

    One event is on its way at a time; what is reported meanwhile waits, and only the newest of
    it: a slow consumer gets fewer steps, not late ones. `close` ends it all and is awaited before
    the final event is sent, so that no progress sets out after that.

    Parameters
    ----------
    addressee
        Whom to tell, about which job; nobody where there is no webhook.
    attempt
        The job's receive count, as its final event will carry it.
    enabled
        Whether progress was asked for; if not, every method does nothing.
    """

    def __init__(
        self,
        sender: AttemptSender,
        addressee: Addressee,
        *,
        attempt: int,
        enabled: bool = True,
        traceparent: str | None = None,
    ) -> None:
        self._sender = sender
        self._addressee = addressee
        self._attempt = attempt
        self._enabled = enabled and addressee.webhook_url is not None
        self._traceparent = traceparent
        self._newest: tuple[int, str] | None = None
        self._reported = 0
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Progress:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def report(self, percent: int, message: str) -> None:
        """Say how far the job is; returns at once. What goes back or repeats is not sent.

        Parameters
        ----------
        percent
            1 to 99.
        message
            One sentence for people.
        """
        if not self._enabled or not self._reported < percent < 100:
            return
        self._reported = percent
        self._newest = (percent, message)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="progress")

    async def close(self) -> None:
        """Send nothing more, and cut off what is on its way."""
        self._enabled = False
        self._newest = None
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self) -> None:
        url = self._addressee.webhook_url
        while url is not None and self._newest is not None:
            (percent, message), self._newest = self._newest, None
            event = build_event(
                EventType.PROGRESS,
                self._addressee,
                attempt=self._attempt,
                progress=percent,
                message=message,
            )
            await self._sender.attempt(url, event, traceparent=self._traceparent)
