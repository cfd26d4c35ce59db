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

NOT_IN_A_BODY: Final = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}
"""For `str.translate`: SQS refuses these two anywhere in a body (API Reference, "SendMessage"), and
JSON has another spelling for them. Control characters are always escaped in JSON."""

MAX_VISIBILITY_S: Final = 12 * 3600
"""The longest visibility timeout, counted from the receive."""

MAX_WAIT_S: Final = 20
"""The longest long poll."""
