"""Serves S3 objects to whoever asks for them, so that S3 is not what a load test measures.

    python -m scripts.bench.object_server BYTES     one object of that size, whatever is asked for
    python -m scripts.bench.object_server FOLDER    the folder's files, by the last part of the key

The local stacks serve SQS and S3 from one interpreter: each GetObject would take its time from the
queue that is measured.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from scripts.bench.http_stream import Connection, Request, response, serve
from scripts.bench.server_process import started

BUCKET: Final = "bench"
KEY: Final = "line.wav"
OBJECT_BYTES: Final = 16 * 1024
"""One second of 16-bit speech at 8 kHz: the cost of a fetch counts, and not that of its bytes."""

RESULT: Final = ".json"

_WRITTEN: Final = {
    b"PUT": response(b"200 OK", b"", b'ETag: "written"\r\n'),
    b"DELETE": response(b"204 No Content"),
}
_HEADERS: Final = (
    b"Content-Type: binary/octet-stream\r\nAccept-Ranges: bytes\r\n"
    b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-amz-request-id: bench\r\n"
)


@dataclass(frozen=True)
class StoredObject:
    """An object, with both answers that it can be asked for."""

    etag: bytes
    found: bytes
    unchanged: bytes

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Make the answers once."""
        etag = b'"' + hashlib.md5(body, usedforsecurity=False).hexdigest().encode() + b'"'
        headers = b"ETag: " + etag + b"\r\n" + _HEADERS
        return cls(
            etag,
            response(b"200 OK", body, headers),
            response(b"304 Not Modified", b"", headers),
        )


class ObjectServer:
    """Answers each GET with an object, or that it is unchanged, with the headers SDKs read.

    What is written is taken and not kept, so that no result is ever there.

    Parameters
    ----------
    objects
        By name; the one under the empty name stands for every name that is not there, but for
        those of results.
    """

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self._objects = {name: StoredObject.of(body) for name, body in objects.items()}

    def answer(self, request: Request, connection: Connection) -> bytes:
        """Answer one request."""
        if request.method in _WRITTEN:
            return _WRITTEN[request.method]
        if request.method != b"GET":
            return response(b"405 Method Not Allowed")
        name = request.target.partition(b"?")[0].rpartition(b"/")[2].decode()
        stored = self._objects.get(name)
        if stored is None and not name.endswith(RESULT):
            stored = self._objects.get("")
        if stored is None:
            return response(b"404 Not Found")
        asked = request.header(b"if-none-match")
        return stored.unchanged if asked == stored.etag else stored.found


@contextmanager
def running(folder: Path, what: int | Path = OBJECT_BYTES) -> Iterator[str]:
    """Start the server in a process of its own; gives its address, and ends it with the block."""
    with started("scripts.bench.object_server", folder, [str(what)]) as address:
        yield address


def objects(what: str) -> dict[str, bytes]:
    """Read what the command line names: a size, or a folder."""
    if what.isdecimal():
        return {"": bytes(index % 251 for index in range(int(what)))}
    return {path.name: path.read_bytes() for path in sorted(Path(what).iterdir())}


if __name__ == "__main__":
    serve(ObjectServer(objects(sys.argv[1])).answer)
