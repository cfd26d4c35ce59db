"""What two processes of this program say to each other: pickles, each behind its length."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

LENGTH: Final = struct.Struct("!Q")


def encode(value: Any) -> tuple[bytes, bytes]:
    """Give a value's length and its pickle, apart, so that a recording need not be copied.

    Raises
    ------
    Exception
        What pickle raises, of many types, for a value that cannot leave its process.
    """
    pickled = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(pickled)), pickled


def receive(stream: socket.socket) -> bytearray:
    """Wait for a value's pickle, whole.

    Raises
    ------
    EOFError
        The other end was closed.
    """
    (length,) = LENGTH.unpack(_exactly(LENGTH.size, stream))
    return _exactly(length, stream)


def _exactly(size: int, stream: socket.socket) -> bytearray:
    received = bytearray(size)
    free = memoryview(received)
    while free:
        count = stream.recv_into(free)
        if not count:
            raise EOFError
        free = free[count:]
    return received


class Decoder:
    """What arrives in pieces, put together."""

    def __init__(self) -> None:
        self._held = bytearray()

    def pickles(self, piece: bytes) -> Iterator[bytearray]:
        """Take the next piece, and give the pickle of each value that is whole now."""
        self._held += piece
        while len(self._held) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._held)
            end = LENGTH.size + length
            if len(self._held) < end:
                return
            yield self._held[LENGTH.size : end]
            del self._held[:end]
