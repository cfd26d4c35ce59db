"""A model of SQS on a virtual clock, and of a consumer of events: nothing waits, all can fail.

Every call of a worker stops at a point. A test (or hypothesis) decides what becomes of it there:
it takes effect and is answered, takes effect and the answer is lost, or never arrives. A call
that was cancelled may still take effect, as a request on the wire does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from worker.backlog import Backlog, Place
from worker.contract import Event
from worker.failures import ErrorCode, JobFailure
from worker.queue import Message

T = TypeVar("T")


@dataclass
class Clock:
    """Virtual seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Fate(Enum):
    """What becomes of a call."""

    ANSWERED = "answered"
    ANSWER_LOST = "answer lost"
    NEVER_ARRIVES = "never arrives"


@dataclass(eq=False)
class Pending:
    """A call that has been made and not yet been answered."""

    name: str
    effect: Callable[[], Any]
    error: Callable[[], BaseException]
    future: asyncio.Future[Any]
    is_dead: Callable[[], bool]

    def resolve(self, fate: Fate, error: BaseException | None = None) -> None:
        """Let the call come to its end."""
        value = None if fate is Fate.NEVER_ARRIVES else self.effect()
        if self.is_dead() or self.future.done():
            return
        if fate is Fate.ANSWERED and error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error or self.error())


class Points:
    """Where the calls of one worker stop; `is_automatic` lets them pass."""

    def __init__(self, *, is_automatic: bool = False) -> None:
        self.is_automatic = is_automatic
        self.pending: list[Pending] = []
        self.is_dead = False

    async def stop_at(
        self, name: str, effect: Callable[[], T], error: Callable[[], BaseException]
    ) -> T:
        """Wait here until the call's fate is decided."""
        if self.is_dead:
            raise asyncio.CancelledError
        if self.is_automatic:
            return effect()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.pending.append(Pending(name, effect, error, future, lambda: self.is_dead))
        return await future


@dataclass
class Stored:
    """One message in the queue."""

    message_id: str
    body: str
    visible_at: float
    receive_count: int = 0
    newest_handle: str = ""


class SqsModel:
    """One queue with its dead-letter queue.

    Parameters
    ----------
    stale_handles_work
        Whether a handle that is not the newest still deletes and changes visibility: SQS
        promises neither that it does nor that it does not.
    """

    def __init__(
        self, clock: Clock, *, max_receives: int = 3, stale_handles_work: bool = False
    ) -> None:
        self.clock = clock
        self.max_receives = max_receives
        self.stale_handles_work = stale_handles_work
        self.queue: dict[str, Stored] = {}
        self.deleted: set[str] = set()
        self.copies: dict[str, list[Mapping[str, str]]] = {}
        """Dead letters that a worker wrote, by original message id."""
        self.redriven: set[str] = set()
        """Dead letters that SQS moved by itself."""
        self.granted_until: dict[str, float] = {}
        """Until when SQS has said that a receipt handle keeps its message invisible."""
        self._owner: dict[str, str] = {}

    def send(self, body: str) -> str:
        """Put a message in."""
        message_id = f"m{len(self.queue) + len(self.deleted) + len(self.redriven)}"
        self.queue[message_id] = Stored(message_id, body, self.clock.now)
        return message_id

    def receive(self, limit: int, visibility_s: float) -> list[tuple[Stored, str, int]]:
        """Hand out what is visible: message, receipt handle, receive count."""
        handed: list[tuple[Stored, str, int]] = []
        for stored in list(self.queue.values()):
            if stored.visible_at > self.clock.now or len(handed) == limit:
                continue
            if stored.receive_count >= self.max_receives:
                del self.queue[stored.message_id]
                self.redriven.add(stored.message_id)
                continue
            stored.receive_count += 1
            stored.newest_handle = f"{stored.message_id}/{stored.receive_count}"
            stored.visible_at = self.clock.now + visibility_s
            self._owner[stored.newest_handle] = stored.message_id
            self.granted_until[stored.newest_handle] = stored.visible_at
            handed.append((stored, stored.newest_handle, stored.receive_count))
        return handed

    def change_visibility(self, handle: str, seconds: float) -> bool:
        """Accept a change, whatever the handle: so does SQS."""
        self.granted_until[handle] = self.clock.now + seconds
        stored = self._of(handle)
        if stored is not None:
            stored.visible_at = self.clock.now + seconds
        return True

    def delete(self, handle: str) -> None:
        """Delete a message."""
        stored = self._of(handle)
        if stored is not None:
            del self.queue[stored.message_id]
            self.deleted.add(stored.message_id)

    def copy_to_dead_letters(self, message_id: str, attributes: Mapping[str, str]) -> None:
        """Take a dead letter from a worker."""
        self.copies.setdefault(message_id, []).append(attributes)

    def is_dead_lettered(self, message_id: str) -> bool:
        """Whether the message is in the dead-letter queue."""
        return message_id in self.copies or message_id in self.redriven

    def _of(self, handle: str) -> Stored | None:
        stored = self.queue.get(self._owner.get(handle, ""))
        if stored is None or (handle != stored.newest_handle and not self.stale_handles_work):
            return None
        return stored


class ModelQueue:
    """What a worker sees of the model: the interface of `worker.queue.Queue`."""

    url = "https://sqs.test/1/jobs"
    name = "jobs"
    is_fifo = False

    def __init__(self, model: SqsModel, points: Points, *, has_dead_letters: bool = True) -> None:
        self._model = model
        self._points = points
        self.calls: list[tuple[str, Any]] = []
        """Every call, with its receipt handle and what it asked for."""
        self.settled_unheld: list[str] = []
        """Settlements that were asked for after the handle's visibility had run out."""
        self.max_receive_count: int | None = model.max_receives if has_dead_letters else None
        self.dead_letter_url = "https://sqs.test/1/dead" if has_dead_letters else None

    async def receive(
        self, limit: int, *, wait_s: int, visibility_s: int, attempt_id: str | None = None
    ) -> list[Message]:
        """Receive; the long poll ends when the test says so."""
        handed = await self._points.stop_at(
            "receive", lambda: self._model.receive(limit, visibility_s), ConnectionResetError
        )
        assert len(handed) <= limit
        return [
            Message(
                message_id=stored.message_id,
                receipt_handle=handle,
                body=stored.body,
                queue=self,  # type: ignore[arg-type]
                receive_count=count,
            )
            for stored, handle, count in handed
        ]

    async def extend(self, messages: Sequence[Message], seconds: Sequence[int]) -> list[bool]:
        """Renew."""
        assert 1 <= len(messages) <= 10
        self.calls.append(("extend", [m.message_id for m in messages]))
        return await self._points.stop_at(
            "extend",
            lambda: [
                self._model.change_visibility(message.receipt_handle, extra)
                for message, extra in zip(messages, seconds, strict=True)
            ],
            ConnectionResetError,
        )

    async def back_off(self, message: Message, delay_s: float) -> None:
        """Give a message back."""
        self._settles("back_off", message, delay_s)
        await self._points.stop_at(
            "back_off",
            lambda: self._model.change_visibility(message.receipt_handle, delay_s),
            ConnectionResetError,
        )

    async def delete(self, message: Message) -> None:
        """Delete a message."""
        self._settles("delete", message, None)
        await self._points.stop_at(
            "delete", lambda: self._model.delete(message.receipt_handle), ConnectionResetError
        )

    async def send_dead_letter(
        self, message: Message, attributes: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Copy a message."""
        said = {name: value["StringValue"] for name, value in attributes.items()}
        self._settles("dead_letter", message, said)
        await self._points.stop_at(
            "dead_letter",
            lambda: self._model.copy_to_dead_letters(message.message_id, said),
            ConnectionResetError,
        )

    async def flush(self, within_s: float | None = None) -> None:
        """Nothing waits."""

    async def depth(self) -> int:
        """Messages in the queue."""
        return len(self._model.queue)

    def _settles(self, name: str, message: Message, asked: object) -> None:
        self.calls.append((name, asked))
        if self._model.granted_until[message.receipt_handle] <= self._model.clock.now:
            self.settled_unheld.append(f"{name} of {message.receipt_handle}")

    @property
    def settlements(self) -> list[str]:
        """What was asked for, renewals aside, in order."""
        return [name for name, _ in self.calls if name != "extend"]


@dataclass
class ModelConsumer:
    """Takes events: the interface of `worker.sinks.Sinks` that consumer and settlement use."""

    points: Points
    taken: list[Event]
    """Shared by all workers: it is the one consumer that they deliver to."""
    has_other: bool = False
    sent: list[tuple[str | None, Event]] = field(default_factory=list)
    sent_to_webhook_alone: int = 0
    backlog: Backlog = field(default_factory=lambda: Backlog(8))

    async def place(self, webhook_url: str | None, *, can_come_back: bool) -> Place:
        """Take a place for an event."""
        return await self.backlog.place(webhook_url or "", can_come_back=False)

    async def send(
        self,
        webhook_url: str | None,
        event: Event,
        *,
        traceparent: str | None = None,
        to_result_queue: bool = True,
    ) -> None:
        """Deliver one event."""
        self.sent.append((webhook_url, event))
        self.sent_to_webhook_alone += not to_result_queue
        await self.points.stop_at(
            "send",
            lambda: self.taken.append(event),
            lambda: JobFailure(ErrorCode.WEBHOOK_UNAVAILABLE, "answered 503"),
        )


def body_of(job_id: str, **fields: object) -> str:
    """Write a message that names a webhook."""
    return json.dumps({"job_id": job_id, "webhook_url": "https://consumer.test/hook", **fields})
