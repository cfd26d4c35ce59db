"""One message being worked on: its lease, what it still holds, and how it is stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.sinks import Delivery

if TYPE_CHECKING:
    import asyncio

    from worker.intake import Intake
    from worker.lease import Lease


@dataclass(eq=False)
class Work:
    """A job between its message's receipt and its settlement.

    Parameters
    ----------
    rank
        Of the queue that it came from, and of the permit that it holds.
    """

    lease: Lease
    rank: int
    has_started: bool = False
    holds_permit: bool = True
    is_handed_back: bool = False
    delivery: Delivery = field(default_factory=Delivery)
    task: asyncio.Task[None] | None = None

    def free_permit(self, intake: Intake) -> None:
        """Give the permit back; once."""
        if self.holds_permit:
            self.holds_permit = False
            intake.release(self.rank)

    def stop(self) -> None:
        """Stop the job; once, for a second time would stop the handing back.

        One that is done is left to its end: it waits for short calls alone.
        """
        if self.task is not None and not self.is_handed_back and not self.is_done:
            self.task.cancel()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do but to note it and to delete the message."""
        return self.delivery.is_done or self.lease.is_being_deleted
