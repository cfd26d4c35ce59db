"""HTTP/1.1 requests cut out of a stream of bytes, as cheaply as Python can.

What stands around a load test must not be what it measures: the inbox, the object server and the
counting proxy all read requests with this and with nothing else.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_END_OF_HEAD: Final = b"\r\n\r\n"
LISTEN_BACKLOG: Final = 1024


class NotSpoken(ValueError):
    """The stream holds what this reader does not read: a chunked body."""


@dataclass(frozen=True)
class Request:
    """One request: the request line's method and target, the raw head, and the body."""

    method: bytes
    target: bytes
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """A header's value by its name in any case; None if it is not there."""
        return _header(self.head, name)


class RequestReader:
    """Gives the requests that are whole; keeps the rest for the next piece of the stream."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request]:
        """Take a piece of the stream.

        Raises
        ------
        NotSpoken
            A body without a length.
        """
        self._buffer += data
        requests = []
        while (at := self._buffer.find(_END_OF_HEAD)) >= 0:
            head = self._buffer[:at]
            begins = at + len(_END_OF_HEAD)
            if _header(head, b"transfer-encoding") is not None:
                raise NotSpoken("a chunked body")
            ends = begins + int(_header(head, b"content-length") or 0)
            if len(self._buffer) < ends:
                break
            method, target, _ = head.split(b" ", 2)
            requests.append(Request(method, target, head, self._buffer[begins:ends]))
            self._buffer = self._buffer[ends:]
        return requests

    @property
    def wants_continue(self) -> bool:
        """Whether a client holds a body back until it is told to go on."""
        at = self._buffer.find(_END_OF_HEAD)
        return at >= 0 and _header(self._buffer[:at], b"expect") is not None


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begins = at + len(name) + 3
    ends = head.find(b"\r\n", begins)
    return head[begins : ends if ends >= 0 else None].strip()


class Connection(asyncio.Protocol):
    """One kept-alive connection that answers each request at once."""

    def __init__(self, answer: Callable[[Request, Connection], bytes | None]) -> None:
        self._answer = answer
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            found = transport.get_extra_info("socket")
            if found is not None:
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        for request in self._reader.feed(data):
            if (reply := self._answer(request, self)) is not None:
                self.reply(reply)
        if self._reader.wants_continue:
            self.reply(b"HTTP/1.1 100 Continue\r\n\r\n")

    def reply(self, data: bytes) -> None:
        """Send an answer, now or later."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def response(status: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    r"""Make a whole response; `headers` are lines that each end in `\r\n`."""
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + length + headers + b"\r\n" + body


def serve(answer: Callable[[Request, Connection], bytes | None]) -> None:
    """Listen on a free port of loopback, print the address, and answer until SIGTERM."""
    asyncio.run(_serve(answer))


async def _serve(answer: Callable[[Request, Connection], bytes | None]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(answer), "127.0.0.1", 0, backlog=LISTEN_BACKLOG
    )
    port = server.sockets[0].getsockname()[1]
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    loop.add_signal_handler(signal.SIGTERM, server.close)
    with suppress(asyncio.CancelledError):
        await server.serve_forever()
