"""A TCP proxy whose connections are delayed, cut and reset while the server behind it is well."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

_CHUNK_BYTES: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no wait: closing sends RST and not FIN."""


class FaultyProxy:
    """Passes bytes on to `target`, unless it was told otherwise.

    `delay_s` holds back every chunk; while `is_cut`, connections are refused by closing them.
    """

    def __init__(self, name: str, target: str) -> None:
        parts = urlsplit(target)
        self.name = name
        self.delay_s = 0.0
        self.is_cut = False
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen on a free port of loopback; returns the address."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.reset_all()

    def cut(self) -> None:
        """Close every connection, and every new one, until `mend`."""
        self.is_cut = True
        for writer in list(self._open):
            writer.close()

    def reset_all(self) -> None:
        """Reset every connection; new ones are fine."""
        for writer in list(self._open):
            found = writer.get_extra_info("socket")
            if found is not None:
                with suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def mend(self) -> None:
        """Be well again."""
        self.is_cut = False
        self.delay_s = 0.0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._open -= {writer, back}
            for side in (writer, back):
                side.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                sink.write(data)
                await sink.drain()
        sink.close()
