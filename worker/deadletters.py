"""Dead letters as people work with them: what one says, which are meant, one walk through all.

SQS has no way to look without taking: a message that is read is hidden from others until it is
released. A `Walk` reads every message once, in batches, and releases at its end what was not
dealt with. Nothing of the queue is held in memory but a number for each message; what must be
released is kept in a file.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

from worker.contract import Addressee
from worker.quotas import MAX_BATCH
from worker.redrive_policy import read_redrive_policy

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

REASONS: Final = frozenset(
    {
        *("error_code", "error_cause", "error_stage", "error_message", "receive_count"),
        *("original_message_id", "source_queue", "failed_at", "event_delivered"),
    }
)
"""The attributes that a worker puts on a dead letter; all others are the producer's."""

HIDDEN_S: Final = 600
"""For how long a walk hides what it reads, should it be killed before it can release."""

WAIT_S: Final = 1
"""A long poll, however short, asks every server that may hold a message; a short one does not."""

EMPTY_POLLS: Final = 2
"""Receives in a row that bring nothing before a walk takes the queue for read."""

STALE_POLLS: Final = 50
"""Receives in a row that bring only what is known or newer than the walk: enough is enough."""

RELEASE_LANES: Final = 4
CLOCK_GRAIN_S: Final = 1.0
"""HTTP's Date header has whole seconds."""


@dataclass(frozen=True)
class DeadLetter:
    """One message of a dead-letter queue."""

    message_id: str
    receipt_handle: str = field(repr=False)
    body: str = field(repr=False)
    attributes: Mapping[str, Any] = field(repr=False)
    """Message attributes as SQS gives them."""
    sent_at: float
    """When it came into the queue, Unix time in seconds; for one that SQS moved, when its
    producer sent it."""
    receives: int
    """How often SQS has handed it out, under this message id."""
    group_id: str | None = None
    source_arn: str | None = None
    """Set on what SQS moved itself."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> DeadLetter:
        """Read a message as ReceiveMessage gives it."""
        system = raw.get("Attributes", {})
        return cls(
            message_id=raw["MessageId"],
            receipt_handle=raw["ReceiptHandle"],
            body=raw.get("Body", ""),
            attributes=raw.get("MessageAttributes", {}),
            sent_at=int(system.get("SentTimestamp", 0)) / 1000,
            receives=int(system.get("ApproximateReceiveCount", 1)),
            group_id=system.get("MessageGroupId"),
            source_arn=system.get("DeadLetterQueueSourceArn"),
        )

    def text(self, name: str) -> str | None:
        """The value of a message attribute that is text or a number."""
        value = self.attributes.get(name, {}).get("StringValue")
        return None if value is None else str(value)

    @property
    def code(self) -> str | None:
        """Why the job failed; None if SQS moved the message itself."""
        return self.text("error_code")

    @property
    def cause(self) -> str | None:
        """The real code behind `retries_exhausted`."""
        return self.text("error_cause")

    @property
    def reason(self) -> str:
        """The sentence that goes with the code."""
        return self.text("error_message") or ""

    @property
    def receive_count(self) -> int:
        """How often the job was tried."""
        text = self.text("receive_count")
        return int(text) if text and text.isdigit() else self.receives

    @property
    def original_message_id(self) -> str:
        """The id that the message had in its source queue, which the worker's log names."""
        return self.text("original_message_id") or self.message_id

    @property
    def source_queue(self) -> str | None:
        """The name of the queue it came from."""
        if name := self.text("source_queue"):
            return name
        return self.source_arn.rsplit(":", 1)[-1] if self.source_arn else None

    @property
    def failed_at(self) -> float:
        """When the job failed for good, Unix time in seconds."""
        text = self.text("failed_at")
        if text:
            try:
                return datetime.fromisoformat(text).astimezone(UTC).timestamp()
            except ValueError:
                pass
        return self.sent_at

    @property
    def told(self) -> bool | None:
        """Whether the consumer was told; None if nobody knows."""
        text = self.text("event_delivered")
        return None if text is None else text == "true"

    @property
    def job_id(self) -> str | None:
        """The job's own name, if the body can be read."""
        return Addressee.salvage(self.body).job_id

    @property
    def own_attributes(self) -> dict[str, Any]:
        """The producer's attributes, in the form that SendMessage takes."""
        return {
            name: {key: value[key] for key in _SENDABLE if key in value}
            for name, value in self.attributes.items()
            if name not in REASONS
        }


_SENDABLE: Final = ("DataType", "StringValue", "BinaryValue")


@dataclass(frozen=True)
class Sieve:
    """Which dead letters are meant; with nothing given, all."""

    codes: frozenset[str] = frozenset()
    """`error_code` or `error_cause`; `none` for what SQS moved itself."""
    text: str | None = None
    """Somewhere in the body or the reason, in whatever case."""
    older_than_s: float | None = None
    newer_than_s: float | None = None
    ids: frozenset[str] = frozenset()
    """Message ids, original message ids or job ids."""

    def takes(self, letter: DeadLetter, now: float) -> bool:
        """Whether this one is meant."""
        age_s = now - letter.failed_at
        if self.older_than_s is not None and age_s < self.older_than_s:
            return False
        if self.newer_than_s is not None and age_s > self.newer_than_s:
            return False
        if self.codes and not self.codes & {letter.code or "none", letter.cause}:
            return False
        if self.ids and not self.ids & {
            letter.message_id,
            letter.original_message_id,
            letter.job_id,
        }:
            return False
        if self.text:
            wanted = self.text.casefold()
            return wanted in letter.body.casefold() or wanted in letter.reason.casefold()
        return True


class Walk:
    """Reads each message of a queue once; an async context manager.

    What comes into the queue after the walk began is left alone, so that a redriven job which
    fails again is not redriven for ever.

    Attributes
    ----------
    now
        SQS's own time at the start, Unix time in seconds: ages do not depend on this machine's
        clock.
    total
        About how many messages could be read at the start.
    """

    def __init__(
        self, sqs: SQSClient, url: str, *, hidden_s: int = HIDDEN_S, wait_s: int | None = None
    ) -> None:
        self.url = url
        self.now = time.time()
        self.total = 0
        self.seen = 0
        self._sqs = sqs
        self._hidden_s = hidden_s
        self._wait_s = WAIT_S if wait_s is None else wait_s
        self._known: set[int] = set()
        self._out: dict[str, str] = {}
        self._spool: IO[str] | None = None
        self._empty_polls = 0
        self._stale_polls = 0

    async def __aenter__(self) -> Self:
        reply = await self._sqs.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        self.total = int(reply.get("Attributes", {}).get("ApproximateNumberOfMessages", 0))
        date = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date:
            self.now = parsedate_to_datetime(date).timestamp() + CLOCK_GRAIN_S
        self._spool = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._spool is not None  # noqa: S101
        with self._spool as spool:
            for handle in self._out.values():
                spool.write(handle + "\n")
            spool.seek(0)
            await self._release(line.rstrip("\n") for line in spool)

    async def batch(self) -> list[DeadLetter]:
        """Up to ten messages that this walk has not seen; empty when it is through.

        Every one must be given to `keep` or `done`.
        """
        while self._empty_polls < EMPTY_POLLS and self._stale_polls < STALE_POLLS:
            reply = await self._sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=MAX_BATCH,
                WaitTimeSeconds=self._wait_s,
                VisibilityTimeout=self._hidden_s,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            letters = [DeadLetter.of(raw) for raw in reply.get("Messages", [])]
            fresh = [letter for letter in letters if self._is_new(letter)]
            # One that took longer than `hidden_s` comes again: whoever has it goes on with it.
            held = {letter.message_id for letter in letters if letter.message_id in self._out}
            for letter in letters:
                self._out[letter.message_id] = letter.receipt_handle
            self.keep(x for x in letters if x not in fresh and x.message_id not in held)
            if fresh:
                self._empty_polls = self._stale_polls = 0
                self.seen += len(fresh)
                return fresh
            self._empty_polls = 0 if letters else self._empty_polls + 1
            self._stale_polls += 1
        return []

    def _is_new(self, letter: DeadLetter) -> bool:
        number = hash(letter.message_id)
        if number in self._known or letter.sent_at > self.now:
            return False
        self._known.add(number)
        return True

    def keep(self, letters: Iterable[DeadLetter]) -> None:
        """These stay in the queue: they are released at the end."""
        assert self._spool is not None  # noqa: S101
        for letter in letters:
            self._spool.write(self._out.pop(letter.message_id) + "\n")

    async def delete(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Delete up to ten messages; those that could not be deleted are kept and returned."""
        left = list(letters)
        for attempt in range(3):
            if not left:
                return []
            if attempt:
                await asyncio.sleep(0.2 * attempt)
            reply = await self._sqs.delete_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {
                        "Id": str(i),
                        "ReceiptHandle": self._out.get(letter.message_id, letter.receipt_handle),
                    }
                    for i, letter in enumerate(left)
                ],
            )
            gone = {int(item["Id"]) for item in reply.get("Successful", [])}
            for i in gone:
                self._out.pop(left[i].message_id, None)
            left = [letter for i, letter in enumerate(left) if i not in gone]
        self.keep(left)
        return left

    async def _release(self, handles: Iterable[str]) -> None:
        """Make the messages visible again, some batches at a time."""
        supply = iter(handles)

        async def lane() -> None:
            while True:
                batch = [handle for _, handle in zip(range(MAX_BATCH), supply, strict=False)]
                if not batch:
                    return
                # One that has become visible by itself is refused, and that is as well.
                await self._sqs.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(i), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for i, handle in enumerate(batch)
                    ],
                )

        async with asyncio.TaskGroup() as group:
            for _ in range(RELEASE_LANES):
                group.create_task(lane())


async def dead_letter_queues(sqs: SQSClient, urls: Sequence[str]) -> dict[str, str]:
    """The dead-letter queues of some queues, by name: each queue's own RedrivePolicy says."""
    found: dict[str, str] = {}
    for url in urls:
        policy = await read_redrive_policy(sqs, url)
        if policy is not None:
            found[policy.dead_letter_queue] = await policy.dead_letter_url(sqs)
    return found
