"""Consumers by name: remembered while they are there, and never without end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

MEMORY_S: Final = 600.0
"""How long a consumer with nothing on its way still counts as there."""

MAX_CONSUMERS: Final = 4096
"""Consumers remembered; their names come out of messages, so their number has no bound."""


class Seen(Protocol):
    """What is remembered of one."""

    seen_s: float
    """When it was last asked for."""

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing on its way."""
        ...


C = TypeVar("C", bound=Seen)


class Remembered(OrderedDict[str, C]):
    """What is known of each consumer, the one that has not been seen for longest in front."""

    def seen(self, name: str, make: Callable[[], C], *, now: float) -> C:
        """Return what is known of a consumer, which is there now; others may be forgotten."""
        consumer = self.get(name)
        if consumer is None:
            consumer = self[name] = make()
        consumer.seen_s = now
        self.move_to_end(name)
        self._forget(now)
        return consumer

    def _forget(self, now: float) -> None:
        while len(self) > 1:
            name, oldest = next(iter(self.items()))
            is_due = now - oldest.seen_s > MEMORY_S or len(self) > MAX_CONSUMERS
            if not is_due or not oldest.is_idle:
                return
            del self[name]
