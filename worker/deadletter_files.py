"""Dead letters in a file of JSON lines: taken out for a look, put back later or elsewhere."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.deadletters import DeadLetter, Sieve, Walk
from worker.quotas import MAX_ATTRIBUTES, MAX_BATCH, MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

BINARY: Final = "base64"


class Attribute(BaseModel):
    """One message attribute; a binary value stands there in base64."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, Field(min_length=1, max_length=256)]
    value: str | None = None
    base64: str | None = None


class Line(BaseModel):
    """One dead letter in a file."""

    model_config = ConfigDict(extra="forbid")

    body: Annotated[str, Field(min_length=1)]
    attributes: Annotated[dict[str, Attribute], Field(max_length=MAX_ATTRIBUTES)] = {}
    group_id: str | None = None
    message_id: str | None = None
    sent_at: datetime | None = None
    receive_count: int | None = None


class LineError(Exception):
    """A line of a file is no dead letter; the text names the line."""


@dataclass
class Imported:
    """How far an import has come."""

    lines: int = 0
    sent: int = 0


async def export(
    walk: Walk, sieve: Sieve, file: IO[bytes], *, report: Callable[[int], None] = lambda _: None
) -> int:
    """Write what the sieve takes, one line each; the queue is left as it was."""
    written = 0
    while letters := await walk.batch():
        for letter in letters:
            if sieve.takes(letter, walk.now):
                file.write(line_of(letter))
                written += 1
        walk.keep(letters)
        report(written)
    file.flush()
    return written


def line_of(letter: DeadLetter) -> bytes:
    """Write one dead letter."""
    line: dict[str, Any] = {
        "message_id": letter.message_id,
        "sent_at": datetime.fromtimestamp(letter.sent_at, UTC).isoformat(timespec="milliseconds"),
        "receive_count": letter.receives,
        "group_id": letter.group_id,
        "attributes": {name: _written(raw) for name, raw in letter.attributes.items()},
        "body": letter.body,
    }
    return orjson.dumps(line) + b"\n"


def _written(raw: dict[str, Any]) -> dict[str, str]:
    if "BinaryValue" in raw:
        return {"type": raw["DataType"], BINARY: base64.b64encode(raw["BinaryValue"]).decode()}
    return {"type": raw["DataType"], "value": raw["StringValue"]}


def read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """Read a file, line by line.

    Raises
    ------
    LineError
        At the first line that is no dead letter.
    """
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            yield Line.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise LineError(
                f"line {number}: {where + ': ' if where else ''}{first['msg']}"
            ) from None


async def import_lines(
    sqs: SQSClient,
    url: str,
    lines: Iterable[Line],
    *,
    report: Callable[[Imported], None] = lambda _: None,
) -> Imported:
    """Send every line to a queue, with the attributes that it has.

    Raises
    ------
    LineError
        SQS refused a message; those before it were sent.
    """
    progress = Imported()
    batch: list[tuple[int, dict[str, Any]]] = []
    size = 0

    async def send() -> None:
        if not batch:
            return
        reply = await sqs.send_message_batch(
            QueueUrl=url,
            Entries=[{**entry, "Id": str(i)} for i, (_, entry) in enumerate(batch)],  # type: ignore[typeddict-item]
        )
        for item in reply.get("Failed", []):
            number = batch[int(item["Id"])][0]
            raise LineError(
                f"message {number} was refused by SQS: {item['Code']} {item.get('Message', '')}"
            )
        progress.sent += len(reply.get("Successful", []))
        report(progress)

    for number, line in enumerate(lines, start=1):
        progress.lines = number
        entry, entry_size = _entry(line, url)
        if len(batch) == MAX_BATCH or (batch and size + entry_size > MAX_MESSAGE_BYTES):
            await send()
            batch, size = [], 0
        batch.append((number, entry))
        size += entry_size
    await send()
    return progress


def _entry(line: Line, url: str) -> tuple[dict[str, Any], int]:
    attributes: dict[str, Any] = {}
    size = len(line.body.encode("utf-8", "replace"))
    for name, attribute in line.attributes.items():
        binary = None if attribute.base64 is None else base64.b64decode(attribute.base64)
        text = attribute.value or ""
        value = {"StringValue": text} if binary is None else {"BinaryValue": binary}
        attributes[name] = {"DataType": attribute.type, **value}
        size += len(name) + len(attribute.type) + len(text.encode() if binary is None else binary)
    entry: dict[str, Any] = {"MessageBody": line.body, "MessageAttributes": attributes}
    if url.endswith(".fifo"):
        message_id = line.message_id or uuid.uuid4().hex
        entry["MessageGroupId"] = line.group_id or message_id
        # The id that it had: an interrupted import that is repeated soon sends no second one.
        entry["MessageDeduplicationId"] = message_id
    return entry, size
