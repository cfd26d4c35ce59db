"""What stands on a dead letter: why the job failed, within what SQS allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from worker.failures import JobFailure
from worker.quotas import MAX_ATTRIBUTES, MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from worker.queue import Message

MAX_REASON_CHARS: Final = 1000
SHORT_REASON_CHARS: Final = 80

# SQS takes the characters of XML 1.0 (SQS API Reference, "SendMessage").
_NOT_ALLOWED: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Attributes = dict[str, dict[str, str]]


def attributes_of(
    message: Message, failure: JobFailure, *, event_delivered: bool
) -> Attributes | None:
    """Write the attributes of a dead letter.

    The message's own attributes give way first, then the long reason is cut; None when the body
    leaves no room at all.
    """
    room = MAX_MESSAGE_BYTES - len(message.body.encode("utf-8", "replace"))
    for reason_chars in (MAX_REASON_CHARS, SHORT_REASON_CHARS):
        ours = _reasons(message, failure, event_delivered, reason_chars)
        for own in (_own_attributes(message, MAX_ATTRIBUTES - len(ours)), {}):
            attributes = {**own, **ours}
            if size_of(attributes) <= room:
                return attributes
    return None


def _reasons(
    message: Message, failure: JobFailure, event_delivered: bool, reason_chars: int
) -> Attributes:
    values = {
        "error_code": str(failure.code),
        "error_cause": str(failure.cause) if failure.cause else "",
        "error_stage": str(failure.stage),
        "error_message": clean(failure.message)[:reason_chars],
        "receive_count": str(message.receive_count),
        "original_message_id": message.message_id,
        "source_queue": message.queue.name,
        "failed_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "event_delivered": "true" if event_delivered else "false",
    }
    return {
        name: {"DataType": "Number" if name == "receive_count" else "String", "StringValue": value}
        for name, value in values.items()
        if value
    }


def _own_attributes(message: Message, places: int) -> Attributes:
    """The producer's own attributes, as far as there are places."""
    own: Attributes = {}
    for name in by_importance(message.raw_attributes)[: max(0, places)]:
        raw: Mapping[str, str] = message.raw_attributes[name]
        own[name] = {
            key: raw[key] for key in ("DataType", "StringValue", "BinaryValue") if key in raw
        }
    return own


def by_importance(names: Iterable[str]) -> list[str]:
    """Names of a message's own attributes: those that we read come first, the others give way."""
    first = {"job_type": 0, "redrive_history": 1, "traceparent": 2}
    return sorted(names, key=lambda name: (first.get(name, 3), name))


def size_of(attributes: Attributes) -> int:
    """Bytes as SQS counts them: names, types and values."""
    return sum(
        len(name.encode()) + sum(_bytes_in(value) for value in attribute.values())
        for name, attribute in attributes.items()
    )


def _bytes_in(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else len(value.encode("utf-8", "replace"))


def clean(text: str) -> str:
    """Take out the characters that SQS refuses."""
    return _NOT_ALLOWED.sub("\ufffd", text)
