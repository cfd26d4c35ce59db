"""A proxy before an SQS server that counts the requests by operation: the bill.

    python -m scripts.bench.request_count http://[::1]:4566

It passes every byte on as it came, and reads along. `GET /_count` on it gives the counts so far,
`DELETE /_count` begins again at nothing. SQS charges by the request, whatever it carries up to
64 KiB (Amazon SQS pricing).
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from scripts.bench.http_stream import LISTEN_BACKLOG, Request, RequestReader, response
from scripts.bench.server_process import started

COUNT_PATH: Final = b"/_count"
_CHUNK_BYTES: Final = 64 * 1024
_ASKING_TIMEOUT_S: Final = 5.0


def operation(request: Request) -> str:
    """Name the SQS operation of a request: of the JSON protocol or of the older query protocol."""
    if target := request.header(b"x-amz-target"):
        return target.rpartition(b".")[2].decode()
    for text in (request.body.decode(errors="replace"), urlsplit(request.target.decode()).query):
        if names := parse_qs(text).get("Action"):
            return names[0]
    return "unknown"


class CountingProxy:
    """Passes connections on to one server; counts the requests that go there."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.counts: Counter[str] = Counter()

    async def serve(self) -> asyncio.Server:
        """Listen on a free port of loopback."""
        return await asyncio.start_server(
            self._connected, "127.0.0.1", 0, backlog=LISTEN_BACKLOG, limit=_CHUNK_BYTES
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _send_at_once(writer)
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        _send_at_once(back)
        try:
            await asyncio.gather(self._requests(reader, back, writer), _replies(there, writer))
        finally:
            for side in (writer, back):
                side.close()

    async def _requests(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        asker: asyncio.StreamWriter,
    ) -> None:
        requests = RequestReader()
        with suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                for request in requests.feed(data):
                    if request.target == COUNT_PATH:
                        asker.write(self._told(request))
                        data = b""  # it was meant for the proxy
                    else:
                        self.counts[operation(request)] += 1
                sink.write(data)
                await sink.drain()
        sink.close()

    def _told(self, request: Request) -> bytes:
        if request.method == b"DELETE":
            self.counts.clear()
        return response(b"200 OK", json.dumps(self.counts).encode(), b"Connection: close\r\n")


async def _replies(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
    sink.close()


def _send_at_once(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class CountClient:
    """Asks a proxy that runs in another process."""

    def __init__(self, address: str) -> None:
        self.address = address

    def counts(self) -> dict[str, int]:
        """Requests so far, by operation."""
        return self._ask("GET")

    def forget(self) -> None:
        """Begin again at nothing."""
        self._ask("DELETE")

    def _ask(self, method: str) -> dict[str, int]:
        url = self.address + COUNT_PATH.decode()
        request = urllib.request.Request(url, method=method)  # noqa: S310  on loopback
        with urllib.request.urlopen(request, timeout=_ASKING_TIMEOUT_S) as reply:  # noqa: S310
            counts: dict[str, int] = json.load(reply)
        return counts


@contextmanager
def running(target: str, folder: Path) -> Iterator[CountClient]:
    """Start a proxy in a process of its own; it ends with the block."""
    with started("scripts.bench.request_count", folder, [target]) as address:
        yield CountClient(address)


async def _main(target: str) -> None:
    server = await CountingProxy(target).serve()
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    with suppress(asyncio.CancelledError):
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
