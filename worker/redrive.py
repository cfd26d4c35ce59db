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

from worker.deadletters import DeadLetter, Sieve, Walk
from worker.quotas import MAX_MESSAGE_BYTES
from worker.ratelimit import Pace

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

HISTORY: Final = "redrive_history"
MAX_HISTORY: Final = 5
"""Lives of a job that are remembered; the oldest go first."""

LANES: Final = 4
"""Batches on their way at once."""


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
        self._dry_run = dry_run
        self._report = report

    async def run(self) -> Tally:
        """Redrive what the sieve takes; the rest is released with the walk."""
        await _in_lanes(self._lane)
        return self.tally

    async def _lane(self) -> None:
        while self._left is None or self._left > 0:
            letters = await self._walk.batch()
            if not letters:
                return
            meant = [x for x in letters if self._sieve.takes(x, self._walk.now)]
            if self._left is not None:
                meant = meant[: max(0, self._left)]
                self._left -= len(meant)
            others = [letter for letter in letters if letter not in meant]
            self.tally.kept += len(others)
            self._walk.keep(others)
            for batch in await self._batches(meant):
                await self._send(*batch)
            self._report(self.tally)

    async def _batches(self, meant: Sequence[DeadLetter]) -> list[tuple[str, list[DeadLetter]]]:
        """Group by destination, each group small enough for one request."""
        batches: list[tuple[str, list[DeadLetter]]] = []
        sizes: list[int] = []
        for letter in meant:
            url = await self._destination(letter)
            size = _size(letter)
            for i, (other, group) in enumerate(batches):
                if other == url and sizes[i] + size <= MAX_MESSAGE_BYTES:
                    group.append(letter)
                    sizes[i] += size
                    break
            else:
                batches.append((url, [letter]))
                sizes.append(size)
        return batches

    async def _send(self, url: str, letters: list[DeadLetter]) -> None:
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
        reply = await self._sqs.send_message_batch(
            QueueUrl=url,
            Entries=[entry_of(letter, str(i), url) for i, letter in enumerate(letters)],
        )
        sent = {int(item["Id"]) for item in reply.get("Successful", [])}
        for item in reply.get("Failed", []):
            self.tally.reasons[f"{item.get('Code', '?')}: {item.get('Message', '')}"] += 1
        refused = [letter for i, letter in enumerate(letters) if i not in sent]
        self.tally.failed += len(refused)
        self._walk.keep(refused)
        not_deleted = await self._walk.delete([x for i, x in enumerate(letters) if i in sent])
        self.tally.doubled += len(not_deleted)
        self.tally.done += len(sent) - len(not_deleted)


def entry_of(letter: DeadLetter, entry_id: str, url: str) -> Any:
    """The entry for SendMessageBatch: the body as it was, the producer's attributes, the history.

    The reasons do not go with it: a message with an `error_code` that SQS moves again would be
    taken for one whose consumer was told.
    """
    entry: dict[str, Any] = {
        "Id": entry_id,
        "MessageBody": letter.body,
        "MessageAttributes": {
            **dict(list(letter.own_attributes.items())[:9]),
            HISTORY: {"DataType": "String", "StringValue": history_of(letter)},
        },
    }
    if url.endswith(".fifo"):
        entry["MessageGroupId"] = letter.group_id or letter.message_id
        # The dead letter's own id: an interrupted redrive that is repeated sends no second one.
        entry["MessageDeduplicationId"] = letter.message_id
    return entry


def history_of(letter: DeadLetter) -> str:
    """What the job has been through, the latest life last, as JSON."""
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
    return json.dumps(lives[-MAX_HISTORY:], separators=(",", ":"))


async def purge(
    walk: Walk, sieve: Sieve, *, dry_run: bool = False, report: Report = lambda _: None
) -> Tally:
    """Delete what the sieve takes, for good."""
    tally = Tally()

    async def lane() -> None:
        while letters := await walk.batch():
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

    await _in_lanes(lane)
    return tally


async def _in_lanes(lane: Callable[[], Awaitable[None]]) -> None:
    async def one() -> None:
        await lane()

    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(one())


def _size(letter: DeadLetter) -> int:
    attributes = sum(
        len(name) + sum(len(part) for part in value.values())
        for name, value in letter.own_attributes.items()
    )
    return len(letter.body.encode("utf-8", "replace")) + attributes + len(history_of(letter)) + 64
