"""What was sent against what arrived: every job delivered or dead-lettered, none missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.chaos.consumer import Taken

UNREADABLE = "not json: "
"""The start of a body that is no JSON; the job's name follows."""


@dataclass
class Ledger:
    """The count of one run."""

    sent: set[str]
    delivered: set[str] = field(default_factory=set)
    told_of_failure: set[str] = field(default_factory=set)
    dead: dict[str, str] = field(default_factory=dict)
    """job to its error_code; `(by SQS)` where SQS moved it by itself."""
    duplicates: int = 0
    unequal_ids: list[str] = field(default_factory=list)
    forged: int = 0

    @property
    def missing(self) -> set[str]:
        """Jobs that nobody has."""
        return self.sent - self.delivered - set(self.dead)

    def codes(self) -> Counter[str]:
        """Dead letters by code."""
        return Counter(self.dead.values())


def settle(sent: Iterable[str], taken: Taken, dead_letters: Iterable[Mapping[str, Any]]) -> Ledger:
    """Compare what was sent with what the consumer and the dead-letter queue hold."""
    ledger = Ledger(set(sent), forged=taken.forged)
    for job, deliveries in taken.final.items():
        kinds = {kind for _, kind in deliveries}
        if "analysis.completed" in kinds:
            ledger.delivered.add(job)
        if "analysis.failed" in kinds:
            ledger.told_of_failure.add(job)
        ledger.duplicates += len(deliveries) - len(kinds)
        for kind in kinds:
            if len({event_id for event_id, other in deliveries if other == kind}) > 1:
                ledger.unequal_ids.append(job)
    for letter in dead_letters:
        attributes = letter.get("MessageAttributes", {})
        code = attributes.get("error_code", {}).get("StringValue", "(by SQS)")
        ledger.dead[_job_of(letter["Body"])] = code
    return ledger


def _job_of(body: str) -> str:
    if body.startswith(UNREADABLE):
        return body.removeprefix(UNREADABLE)
    return str(json.loads(body)["job_id"])
