"""Dead letters sent back to work, or thrown away.

A message is sent before it is deleted: an interruption leaves it in both queues, never in none.
What it has been through goes with it in one attribute, `redrive_history`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from worker.deadletter_attributes import by_importance, size_of
from worker.deadletters import DeadLetter, Sieve, Walk
from worker.queue import SqsError
from worker.quotas import MAX_ATTRIBUTES, MAX_MESSAGE_BYTES
from worker.ratelimit import Pace

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

HISTORY: Final = "redrive_history"
MAX_HISTORY: Final = 5
"""Lives of a job that are remembered; the oldest go first."""

LANES: Final = 4
"""Batches on their way at once."""

MAX_REFUSALS: Final = 8
"""Batches in a row that are refused as a whole before the rest is not even tried."""


@dataclass
class Tally:
    """What became of the messages that were read."""

    done: int = 0
    """Sent on and deleted; or deleted, or, in a dry run, what would have been."""
    kept: int = 0
    """Not meant, and left where they were."""
    failed: int = 0
    """Meant, and still in the queue."""
    doubled: int = 0
    """Sent on and not deleted: they are in both queues."""
    by_code: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why messages failed to be sent."""


@dataclass
class _Batch:
    """Letters that go to one queue in one request."""

    url: str
    letters: list[DeadLetter] = field(default_factory=list)
    entries: list[Any] = field(default_factory=list)
    size: int = 0


Report = Callable[[Tally], None]
Destination = Callable[[DeadLetter], Awaitable[str]]


class Redrive:
    """Sends dead letters to a queue again.

    Parameters
    ----------
    destination
        The URL of the queue that a letter goes to.
    rate
        Messages a second; None = as fast as it goes.
    limit
        The most messages to send; None = all.
    """

    def __init__(
        self,
        sqs: SQSClient,
        walk: Walk,
        sieve: Sieve,
        *,
        destination: Destination,
        rate: float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        report: Report = lambda _: None,
    ) -> None:
        self.tally = Tally()
        self._sqs = sqs
        self._walk = walk
        self._sieve = sieve
        self._destination = destination
        self._pace = Pace(rate) if rate else None
        self._left = limit
        self._refusals = 0
        self._dry_run = dry_run
        self._report = report

    async def run(self) -> Tally:
        """Redrive what the sieve takes; the rest is released with the walk.

        Raises
        ------
        ExceptionGroup
            Why it ended early; the `tally` says what was done until then.
        """
        await _in_lanes(self._step)
        return self.tally

    async def _step(self) -> bool:
        """Read some letters and deal with them; whether there may be more."""
        if self._refusals >= MAX_REFUSALS or (self._left is not None and self._left <= 0):
            return False
        letters = await self._walk.batch()
        if not letters:
            return False
        meant = [x for x in letters if self._sieve.takes(x, self._walk.now)]
        if self._left is not None:
            meant = meant[: max(0, self._left)]
            self._left -= len(meant)
        others = [letter for letter in letters if letter not in meant]
        self.tally.kept += len(others)
        self._walk.keep(others)
        for batch in await self._batches(meant):
            await self._send(batch)
        self._report(self.tally)
        return True

    async def _batches(self, meant: Sequence[DeadLetter]) -> list[_Batch]:
        """Group by destination, each group small enough for one request."""
        batches: list[_Batch] = []
        for letter in meant:
            url = await self._destination(letter)
            entry = entry_of(letter, url)
            size = len(letter.body.encode("utf-8", "replace")) + size_of(entry["MessageAttributes"])
            for batch in batches:
                if batch.url == url and batch.size + size <= MAX_MESSAGE_BYTES:
                    break
            else:
                batch = _Batch(url)
                batches.append(batch)
            batch.entries.append({"Id": str(len(batch.entries)), **entry})
            batch.letters.append(letter)
            batch.size += size
        return batches

    async def _send(self, batch: _Batch) -> None:
        letters = batch.letters
        for letter in letters:
            self.tally.by_code[letter.code or "none"] += 1
        if self._dry_run:
            self.tally.done += len(letters)
            self._walk.keep(letters)
            return
        if self._pace:
            for _ in letters:
                wait_s = self._pace.reserve(max_wait_s=float("inf"))
            await asyncio.sleep(wait_s)
        try:
            reply = await self._sqs.send_message_batch(QueueUrl=batch.url, Entries=batch.entries)
        except ClientError as error:
            # What is wrong with these letters need not be wrong with the next.
            self._refusals += 1
            block = error.response.get("Error", {})
            self._failed(letters, [f"{block.get('Code', '?')}: {block.get('Message', '')}"])
            return
        self._refusals = 0
        sent = {int(item["Id"]) for item in reply.get("Successful", [])}
        reasons = [
            f"{item.get('Code', '?')}: {item.get('Message', '')}"
            for item in reply.get("Failed", [])
        ]
        self._failed([letter for i, letter in enumerate(letters) if i not in sent], reasons)
        await self._delete([letter for i, letter in enumerate(letters) if i in sent])

    def _failed(self, letters: Sequence[DeadLetter], reasons: Sequence[str]) -> None:
        self.tally.failed += len(letters)
        self.tally.reasons.update(reasons)
        self._walk.keep(letters)

    async def _delete(self, sent: Sequence[DeadLetter]) -> None:
        try:
            not_deleted = await self._walk.delete(sent)
        except SqsError:
            self.tally.doubled += len(sent)
            raise
        self.tally.doubled += len(not_deleted)
        self.tally.done += len(sent) - len(not_deleted)


def entry_of(letter: DeadLetter, url: str) -> dict[str, Any]:
    """The entry for SendMessageBatch: the body as it was, the producer's attributes, the history.

    The reasons do not go with it: a message with an `error_code` that SQS moves again would be
    taken for one whose consumer was told.
    """
    entry: dict[str, Any] = {
        "MessageBody": letter.body,
        "MessageAttributes": _attributes(letter),
    }
    if url.endswith(".fifo"):
        entry["MessageGroupId"] = letter.group_id or letter.message_id
        # The dead letter's own id: an interrupted redrive that is repeated sends no second one.
        entry["MessageDeduplicationId"] = letter.message_id
    return entry


def _attributes(letter: DeadLetter) -> dict[str, Any]:
    """The producer's own and the history, of which as much goes as there is room for."""
    given = letter.own_attributes
    given.pop(HISTORY, None)
    own = {name: given[name] for name in by_importance(given)}
    first = dict(list(own.items())[: MAX_ATTRIBUTES - 1])
    room = MAX_MESSAGE_BYTES - len(letter.body.encode("utf-8", "replace"))
    for lives in range(MAX_HISTORY, 0, -1):
        history = {"DataType": "String", "StringValue": history_of(letter, lives)}
        attributes = {**first, HISTORY: history}
        if size_of(attributes) <= room:
            return attributes
    return own


def history_of(letter: DeadLetter, most: int = MAX_HISTORY) -> str:
    """What the job has been through, up to so many lives, the latest last, as JSON."""
    try:
        past = json.loads(letter.text(HISTORY) or "[]")
    except ValueError:
        past = []
    life = {
        "code": letter.code,
        "cause": letter.cause,
        "receive_count": letter.receive_count,
        "failed_at": datetime.fromtimestamp(letter.failed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "original_message_id": letter.original_message_id,
    }
    life = {name: value for name, value in life.items() if value is not None}
    lives = [*(past if isinstance(past, list) else []), life]
    return json.dumps(lives[-most:], separators=(",", ":"))


async def purge(
    walk: Walk, sieve: Sieve, *, dry_run: bool = False, report: Report = lambda _: None
) -> Tally:
    """Delete what the sieve takes, for good."""
    tally = Tally()

    async def step() -> bool:
        letters = await walk.batch()
        if not letters:
            return False
        meant = [letter for letter in letters if sieve.takes(letter, walk.now)]
        others = [letter for letter in letters if letter not in meant]
        walk.keep(others)
        tally.kept += len(others)
        for letter in meant:
            tally.by_code[letter.code or "none"] += 1
        if dry_run:
            walk.keep(meant)
            tally.done += len(meant)
        else:
            left = await walk.delete(meant)
            tally.failed += len(left)
            tally.done += len(meant) - len(left)
        report(tally)
        return True

    await _in_lanes(step)
    return tally


async def _in_lanes(step: Callable[[], Awaitable[bool]]) -> None:
    """Repeat a step in some lanes until it says that nothing is left.

    After an error no lane begins another step, but each ends its own: what was sent is deleted.
    """
    errors: list[Exception] = []

    async def lane() -> None:
        try:
            while not errors and await step():
                pass
        except Exception as error:  # raised below, once all lanes have ended
            errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(lane())
    if errors:
        raise ExceptionGroup("ended early", errors)
