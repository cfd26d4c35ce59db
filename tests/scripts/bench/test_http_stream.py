"""Requests come whole out of a stream, wherever it was cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.http_stream import NotSpoken, RequestReader

POST = (
    b"POST /hook HTTP/1.1\r\nHost: here\r\n"
    b"content-length: 5\r\nX-Amz-Target: AmazonSQS.Send\r\n\r\n"
    b"a\r\n\r\n"
)
GET = b"GET /count?x=1 HTTP/1.1\r\nHost: here\r\n\r\n"
STREAM = POST + GET + POST


@given(st.lists(st.integers(0, len(STREAM))))
def test_the_requests_are_the_same_wherever_the_stream_was_cut(cuts: list[int]) -> None:
    reader = RequestReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    requests = [
        request for begin, end in pairwise(edges) for request in reader.feed(STREAM[begin:end])
    ]
    assert [(r.method, r.target, r.body) for r in requests] == [
        (b"POST", b"/hook", b"a\r\n\r\n"),
        (b"GET", b"/count?x=1", b""),
        (b"POST", b"/hook", b"a\r\n\r\n"),
    ]


def test_a_header_is_found_in_any_case_and_only_by_its_whole_name() -> None:
    (request,) = RequestReader().feed(POST)
    assert request.header(b"x-amz-target") == b"AmazonSQS.Send"
    assert request.header(b"target") is None


def test_a_chunked_body_is_refused_and_not_miscounted() -> None:
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with pytest.raises(NotSpoken):
        RequestReader().feed(chunked)


def test_a_client_that_holds_its_body_back_is_known_to_wait() -> None:
    reader = RequestReader()
    assert reader.feed(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n") == []
    assert reader.wants_continue
    assert [request.body for request in reader.feed(b"ab")] == [b"ab"]
    assert not reader.wants_continue
