"""Server-Sent Events: what changes, told to browsers as it happens, and again after a break."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

_HEARTBEAT_S: Final = 15.0
_RECONNECT_MS: Final = 1000
LAST_EVENT_ID: Final = "Last-Event-ID"
_LINE_END: Final = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class StreamItem:
    """One event of a stream; its id is what a reader who reconnects sends back."""

    id: int
    name: str
    data: str

    def encode(self) -> bytes:
        """Write it as the event stream format has it: a line break in the data starts a line."""
        # Not `splitlines`: the format has three line ends, Unicode has more.
        lines = "\n".join(f"data: {line}" for line in _LINE_END.split(self.data))
        return f"id: {self.id}\nevent: {self.name}\n{lines}\n\n".encode()


class Bell:
    """Wakes every stream when something new is stored, and for good when the inbox closes."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.closed = False

    def next(self) -> asyncio.Event:
        """What the next ring sets; take it before looking, or a ring in between is lost."""
        return self._next

    def ring(self) -> None:
        """Wake all who wait."""
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """Wake all who wait, to end."""
        self.closed = True
        self.ring()


def last_event_id(request: web.Request) -> int:
    """Read where a reader was when its connection broke; 0 for a new one."""
    value = request.headers.get(LAST_EVENT_ID) or request.query.get("after") or "0"
    if not (value.isascii() and value.isdigit()):
        raise web.HTTPBadRequest(text=f"{LAST_EVENT_ID} must be a number, not {value[:40]!r}.")
    return int(value)


async def stream(
    request: web.Request,
    bell: Bell,
    after: int,
    read: Callable[[int], Awaitable[tuple[list[StreamItem], bool]]],
) -> web.StreamResponse:
    """Send what `read(after)` gives, and more as it comes, until it says that this was the last.

    Items come from the store each time: a slow reader costs no memory, and none is lost.
    """
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # or nginx would hold the events back
        }
    )
    await response.prepare(request)
    with suppress(ConnectionResetError):  # the reader has gone
        await response.write(f"retry: {_RECONNECT_MS}\n\n".encode())
        while not bell.closed:
            ring = bell.next()
            items, is_last = await read(after)
            if items:
                await response.write(b"".join(item.encode() for item in items))
                after = items[-1].id
            if is_last:
                break
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    await ring.wait()
            except TimeoutError:
                await response.write(b": still here\n\n")
        await response.write_eof()
    return response
