"""How full the queue is, for the page: available, in flight, delayed, and dead-lettered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from worker.redrive_policy import ATTRIBUTE, RedrivePolicy

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

_FRESH_S: Final = 1.0
_COUNTS: Final[dict[str, QueueAttributeNameType]] = {
    "available": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
_DEAD_LETTER_COUNTS: Final = (_COUNTS["available"], _COUNTS["in_flight"])


class QueueStatus:
    """The counts of a queue and of its dead-letter queue, asked for at most once a second."""

    def __init__(self, sqs: SQSClient, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._counts: dict[str, int | None] = {}

    async def read(self) -> dict[str, int | None]:
        """Counts as SQS approximates them; `dead_letter` is None for a queue that has no DLQ."""
        async with self._lock:  # a hundred open pages make one call
            if time.monotonic() - self._read_at > _FRESH_S:
                self._counts = await self._fetch()
                self._read_at = time.monotonic()
            return self._counts

    async def _fetch(self) -> dict[str, int | None]:
        attributes = await self._attributes(self._queue_url, [*_COUNTS.values(), ATTRIBUTE])
        counts: dict[str, int | None] = {
            name: int(attributes[attribute]) for name, attribute in _COUNTS.items()
        }
        counts["dead_letter"] = None
        if policy := RedrivePolicy.of(attributes):
            dead_letters = await policy.dead_letter_url(self._sqs)
            held = await self._attributes(dead_letters, list(_DEAD_LETTER_COUNTS))
            # Somebody who looks through them takes them in flight for a moment.
            counts["dead_letter"] = sum(int(held[attribute]) for attribute in _DEAD_LETTER_COUNTS)
        return counts

    async def _attributes(
        self, queue_url: str, names: list[QueueAttributeNameType]
    ) -> dict[Any, str]:
        answer = await self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        return answer.get("Attributes", {})
