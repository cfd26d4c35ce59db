"""Values cross a stream whole, however the stream cuts them."""

from __future__ import annotations

import pickle
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import frames

VALUES = st.lists(st.binary(max_size=200) | st.dictionaries(st.text(), st.floats(allow_nan=False)))


@given(values=VALUES, cuts=st.lists(st.integers(1, 40), min_size=1))
def test_values_cut_anywhere_are_put_together(values: list[object], cuts: list[int]) -> None:
    stream = b"".join(b"".join(frames.encode(value)) for value in values)
    decoder = frames.Decoder()
    arrived: list[object] = []
    at = 0
    for turn in range(len(stream)):
        piece = stream[at : at + cuts[turn % len(cuts)]]
        arrived += [pickle.loads(pickled) for pickled in decoder.pickles(piece)]
        at += len(piece)
    assert arrived == values


def test_a_large_value_is_received_whole() -> None:
    value = bytes(range(256)) * 20_000
    here, there = socket.socketpair()
    with here, there:
        sender = threading.Thread(target=here.sendall, args=(b"".join(frames.encode(value)),))
        sender.start()
        assert pickle.loads(frames.receive(there)) == value
        sender.join()


@pytest.mark.parametrize("sent", [0, 3, 8, 20])
def test_a_stream_that_ends_is_an_end_and_no_value(sent: int) -> None:
    here, there = socket.socketpair()
    with there:
        here.sendall(b"".join(frames.encode(b"x" * 100))[:sent])
        here.close()
        with pytest.raises(EOFError):
            frames.receive(there)
