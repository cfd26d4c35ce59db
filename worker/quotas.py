"""What SQS allows, each number once: the worker, its settings and its producers keep to these.

Amazon SQS Developer Guide, "Amazon SQS message quotas".
"""

from __future__ import annotations

from typing import Final

MAX_BATCH: Final = 10
"""Entries of one batch request, and messages of one receive."""

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""Body and attributes of one message, and of all messages of one batch together."""

MAX_ATTRIBUTES: Final = 10
"""Message attributes of one message."""

MAX_VISIBILITY_S: Final = 12 * 3600
"""The longest visibility timeout, counted from the receive."""

MAX_WAIT_S: Final = 20
"""The longest long poll."""
