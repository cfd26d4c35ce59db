"""Serves one S3 object to whoever asks for any, so that S3 is not what a load test measures.

    python -m scripts.bench.object_server BYTES

The local stacks serve SQS and S3 from one interpreter, and a GetObject costs them more than a
whole job costs a worker.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.bench.http_stream import Connection, Request, response, serve
from scripts.bench.server_process import started

BUCKET: Final = "bench"
KEY: Final = "line.wav"
OBJECT_BYTES: Final = 16 * 1024
"""One second of 16-bit speech at 8 kHz: the cost of a fetch counts, and not that of its bytes."""


class ObjectServer:
    """Answers each GET with the same bytes, and the headers that the SDKs read."""

    def __init__(self, size: int) -> None:
        body = bytes(index % 251 for index in range(size))
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest().encode()
        self._found = response(
            b"200 OK",
            body,
            b'ETag: "' + etag + b'"\r\nContent-Type: audio/wav\r\nAccept-Ranges: bytes\r\n'
            b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-amz-request-id: bench\r\n",
        )

    def answer(self, request: Request, connection: Connection) -> bytes:
        """Answer one request."""
        if request.method == b"GET":
            return self._found
        return response(b"405 Method Not Allowed")


@contextmanager
def running(folder: Path, size: int = OBJECT_BYTES) -> Iterator[str]:
    """Start the server in a process of its own; gives its address, and ends it with the block."""
    with started("scripts.bench.object_server", folder, [str(size)]) as address:
        yield address


if __name__ == "__main__":
    serve(ObjectServer(int(sys.argv[1])).answer)
