"""Messages within SQS's limits, to the byte and to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.outgoing import (
    Envelope,
    JobRefused,
    OutgoingMessage,
    batches,
    compose,
)
from worker.quotas import MAX_BATCH, MAX_MESSAGE_BYTES

JOB = {
    "job_id": "take-42",
    "s3_audio_url": "s3://uploads/take 42/녹음.webm",
    "webhook_url": "https://api.example.com/hooks/analysis",
    "video_id": "D7-hk46bT8I",
    "metadata": {"class": "3b", "학생": "민준"},
}


def job(number: int, **fields: Any) -> dict[str, Any]:
    return {**JOB, "job_id": f"job-{number}", **fields}


def test_a_standard_queue_gets_no_fifo_ids() -> None:
    assert "MessageGroupId" not in compose(JOB, is_fifo=False).arguments()


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(job_type=""),
        Envelope(job_type="a b"),
        Envelope(traceparent="garbage"),
        Envelope(group_id="한"),
        Envelope(deduplication_id="x" * 129),
    ],
)
def test_an_envelope_that_sqs_would_refuse_is_not_sent(envelope: Envelope) -> None:
    with pytest.raises(JobRefused):
        compose(JOB, is_fifo=True, envelope=envelope)


def test_the_limit_counts_body_and_attributes_to_the_byte() -> None:
    padding = (
        MAX_MESSAGE_BYTES - compose({**JOB, "timestamp": 1, "pad": ""}, is_fifo=False).size_bytes
    )
    full = compose({**JOB, "timestamp": 1, "pad": "x" * padding}, is_fifo=False)
    assert full.size_bytes == MAX_MESSAGE_BYTES
    attributes = sum(
        len(name) + len(value["DataType"]) + len(value["StringValue"])
        for name, value in full.arguments()["MessageAttributes"].items()
    )
    assert len(full.body.encode()) + attributes == MAX_MESSAGE_BYTES
    with pytest.raises(JobRefused):
        compose({**JOB, "timestamp": 1, "pad": "x" * (padding + 1)}, is_fifo=False)


@given(st.text())
def test_every_text_goes_through_sqs_s_alphabet_unharmed(text: str) -> None:
    """Amazon SQS API Reference, SendMessage: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD …"""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    body = compose({**JOB, "note": text}, is_fifo=False).body
    assert all(
        c in "\t\n\r" or 0x20 <= ord(c) <= 0xD7FF or 0xE000 <= ord(c) <= 0xFFFD or ord(c) > 0xFFFF
        for c in body
    )
    assert json.loads(body)["note"] == text


def test_large_jobs_share_a_batch_only_up_to_its_limit() -> None:
    big = [compose(job(number, note="x" * 400_000), is_fifo=False) for number in range(5)]
    assert [len(batch) for batch in batches(big)] == [2, 2, 1]


@given(st.lists(st.integers(min_value=1, max_value=MAX_MESSAGE_BYTES), max_size=40))
def test_no_batch_is_ever_too_long_or_too_large(sizes: list[int]) -> None:
    messages = [OutgoingMessage(str(n), "x" * size, {}) for n, size in enumerate(sizes)]
    found = list(batches(messages))
    assert [message for batch in found for message in batch] == messages
    assert all(0 < len(batch) <= MAX_BATCH for batch in found)
    assert all(sum(message.size_bytes for message in batch) <= MAX_MESSAGE_BYTES for batch in found)


@pytest.mark.parametrize(
    "traceparent",
    [
        "x",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_a_trace_that_no_span_could_join_is_refused(traceparent: str) -> None:
    with pytest.raises(JobRefused, match="traceparent"):
        compose(JOB, is_fifo=False, envelope=Envelope(traceparent=traceparent))
