"""What fits on a dead letter, and what gives way when not all of it does."""

from __future__ import annotations

import re
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.sqs_model import Clock, ModelQueue, Points, SqsModel
from worker.deadletter_attributes import attributes_of, clean, size_of
from worker.failures import ErrorCode, JobFailure
from worker.queue import Message
from worker.quotas import MAX_ATTRIBUTES, MAX_MESSAGE_BYTES

QUEUE: Any = ModelQueue(SqsModel(Clock()), Points())
REFUSED_BY_SQS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def message(body: str = "{}", /, **own: Any) -> Message:
    return Message("m-1", "r-1", body, QUEUE, receive_count=2, raw_attributes=own)


def text(value: str) -> dict[str, Any]:
    return {"DataType": "String", "StringValue": value}


def values(found: Any) -> dict[str, str]:
    return {name: attribute["StringValue"] for name, attribute in found.items()}


def test_a_dead_letter_says_why_where_and_whether_the_consumer_knows() -> None:
    failure = JobFailure(ErrorCode.NOT_FOUND, "There is no recording.").exhausted()
    found = attributes_of(message(), failure, event_delivered=True)
    assert found is not None
    assert found["receive_count"]["DataType"] == "Number"
    said = values(found)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said.pop("failed_at"))
    assert said.pop("error_message").endswith("There is no recording.")
    assert said == {
        "error_code": "retries_exhausted",
        "error_cause": "not_found",
        "error_stage": "fetch",
        "receive_count": "2",
        "original_message_id": "m-1",
        "source_queue": "jobs",
        "event_delivered": "true",
    }


def test_without_a_cause_none_is_written() -> None:
    found = attributes_of(message(), JobFailure(ErrorCode.NOT_FOUND, "gone"), event_delivered=False)
    assert found is not None
    assert "error_cause" not in found
    assert found["event_delivered"]["StringValue"] == "false"


def test_the_job_type_and_the_trace_are_the_last_of_the_messages_own_to_give_way() -> None:
    own = {name: text(name) for name in ("zebra", "apple", "traceparent", "job_type")}
    found = attributes_of(
        message(**own), JobFailure(ErrorCode.NOT_FOUND, "gone"), event_delivered=False
    )
    assert found is not None
    assert len(found) == MAX_ATTRIBUTES
    # Eight of ours leave two places.
    assert set(found) & set(own) == {"job_type", "traceparent"}


def test_a_reason_wins_over_an_attribute_of_the_same_name() -> None:
    found = attributes_of(
        message(error_code=text("forged")),
        JobFailure(ErrorCode.NOT_FOUND, "gone"),
        event_delivered=False,
    )
    assert found is not None
    assert found["error_code"]["StringValue"] == "not_found"


def test_binary_attributes_are_kept_as_they_are() -> None:
    raw = {"DataType": "Binary", "BinaryValue": b"\x00\xff", "Ignored": "x"}
    found = attributes_of(
        message(job_type=cast("Any", raw)),
        JobFailure(ErrorCode.NOT_FOUND, "gone"),
        event_delivered=False,
    )
    assert found is not None
    assert found["job_type"] == {"DataType": "Binary", "BinaryValue": b"\x00\xff"}


@given(
    room=st.integers(0, 3000),
    reason=st.text(max_size=1500),
    own=st.lists(st.text("abcdef", min_size=1, max_size=8), max_size=12, unique=True),
)
@settings(deadline=None, max_examples=80)
def test_whatever_is_sent_fits_and_holds_only_what_sqs_takes(
    room: int, reason: str, own: list[str]
) -> None:
    body = "x" * (MAX_MESSAGE_BYTES - room)
    found = attributes_of(
        message(body, **{name: text("v" * 200) for name in own}),
        JobFailure(ErrorCode.ANALYSIS_ERROR, reason).exhausted(),
        event_delivered=False,
    )
    if found is None:
        assert room < 1000
        return
    assert len(found) <= MAX_ATTRIBUTES
    assert len(body) + size_of(found) <= MAX_MESSAGE_BYTES
    assert found["error_code"]["StringValue"] == "retries_exhausted"
    assert all(attribute.get("StringValue") != "" for attribute in found.values())
    assert not any(REFUSED_BY_SQS.search(value) for value in values(found).values())


def test_characters_that_sqs_refuses_are_replaced() -> None:
    assert clean("a\x00b\x1fc\ud800d\uffffe\tf\n한🎤") == "a\ufffdb\ufffdc\ufffdd\ufffde\tf\n한🎤"
