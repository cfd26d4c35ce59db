"""What a consumer's answer means for the event."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What an answer means for the event."""

    TAKEN = "taken"
    GONE = "gone"
    REJECTED = "rejected"
    LATER = "later"


def verdict(status: int) -> Verdict:
    """What a consumer's status code means.

    2xx takes the event. 410 asks for nothing more, ever. 408, 409, 425, 429 and 5xx may change.
    All else, redirects too, says that the address, the key or the event is wrong.
    """
    if 200 <= status < 300:
        return Verdict.TAKEN
    if status == 410:
        return Verdict.GONE
    if status in (408, 409, 425, 429) or status >= 500:
        return Verdict.LATER
    return Verdict.REJECTED
