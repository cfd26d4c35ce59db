"""A queue's RedrivePolicy: how often a message is tried, and where it goes then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

ATTRIBUTE: Final = "RedrivePolicy"
"""Its name among a queue's attributes."""


@dataclass(frozen=True)
class RedrivePolicy:
    """What a queue's own attribute says."""

    dead_letter_queue: str
    """The dead-letter queue's name."""
    account: str
    """The account that owns it."""
    max_receive_count: int

    @classmethod
    def of(cls, attributes: Mapping[Any, str]) -> Self | None:
        """Read it from a queue's attributes; None where the queue has none."""
        policy = json.loads(attributes.get(ATTRIBUTE) or "null")
        if not policy:
            return None
        *_, account, name = str(policy["deadLetterTargetArn"]).split(":")
        return cls(name, account, int(policy["maxReceiveCount"]))

    def dead_letter_url_beside(self, url: str) -> str | None:
        """The dead-letter queue's URL, by the URL of a queue that has this policy.

        Both are in the same account and region (Amazon SQS developer guide, "Using dead-letter
        queues"), and a queue URL ends in account and name. None for one that ends otherwise, as
        local servers may have them: those are asked (`dead_letter_url`).
        """
        beginning, *own = url.rsplit("/", 2)
        if len(own) != 2 or own[0] != self.account:
            return None
        return f"{beginning}/{self.account}/{self.dead_letter_queue}"

    async def dead_letter_url(self, sqs: SQSClient) -> str:
        """Ask SQS for the dead-letter queue's URL."""
        found = await sqs.get_queue_url(
            QueueName=self.dead_letter_queue, QueueOwnerAWSAccountId=self.account
        )
        return found["QueueUrl"]


async def read_redrive_policy(sqs: SQSClient, url: str) -> RedrivePolicy | None:
    """Ask SQS for a queue's policy; None where the queue has none."""
    reply = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[ATTRIBUTE])
    return RedrivePolicy.of(reply.get("Attributes", {}))
