"""What the demo prints at its end: a row for each job, and what lies in the dead-letter queue."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scripts.demo_scenario import DemoJob

_SCORES: Final = ("overall", "pronunciation", "timing", "pitch")
_NARROW: Final = {"pronunciation": "pronun-\nciation"}
_WIDE: Final = 110  # characters
_BODY_SHOWN: Final = 16
_REASON_SHOWN: Final = 160


@dataclass(frozen=True)
class DeadLetter:
    """A message in the dead-letter queue, and why it is there."""

    body: str
    attributes: dict[str, str]

    @property
    def job_id(self) -> str | None:
        """Its job; None for a body that says none."""
        try:
            fields = json.loads(self.body)
        except ValueError:
            return None
        return fields.get("job_id") if isinstance(fields, dict) else None

    @property
    def code(self) -> str:
        """The `error_code`; one that SQS moved by itself has none."""
        return self.attributes.get("error_code", "moved by SQS")


def jobs_table(
    jobs: Sequence[DemoJob],
    seen: dict[str, dict[str, Any]],
    departed: dict[str, list[str]],
    *,
    width: int,
) -> Table:
    """Make the table of jobs; its last column says which came out as expected.

    `width` is the terminal's in characters: a narrow one does without what each job is.
    """
    is_wide = width >= _WIDE
    table = _table("Jobs")
    table.add_column("job", no_wrap=True)
    if is_wide:
        table.add_column("what it is", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in (*_SCORES, "seconds"):
        table.add_column(name if is_wide else _NARROW.get(name, name), justify="right")
    table.add_column("as expected" if is_wide else "expected", no_wrap=True)
    for job in jobs:
        came = seen.get(job.job_id, {})
        scores = (came.get("result") or {}).get("scores", {})
        shown = ["–" if scores.get(name) is None else f"{scores[name]:.0f}" for name in _SCORES]
        verdict = Text("no", "bold red") if departed[job.job_id] else Text("yes", "green")
        about = [job.about] if is_wide else []
        table.add_row(job.job_id, *about, _status(came), *shown, _seconds(came), verdict)
    return table


def dead_letter_table(letters: Sequence[DeadLetter]) -> Table:
    """Make the table of the dead-letter queue."""
    table = _table("Dead-letter queue")
    for name in ("message", "error_code"):
        table.add_column(name, no_wrap=True)
    for name in ("stage", "receives", "event\nsent", "why"):
        table.add_column(name, overflow="fold")
    for letter in letters:
        said = letter.attributes
        table.add_row(
            escape(letter.job_id or repr(letter.body[:_BODY_SHOWN])),
            escape(letter.code),
            escape(said.get("error_stage", "")),
            said.get("receive_count", ""),
            {"true": "yes", "false": "no"}.get(said.get("event_delivered", ""), ""),
            escape(said.get("error_message", "")[:_REASON_SHOWN]),
        )
    return table


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _status(came: dict[str, Any]) -> Text:
    match came.get("status"):
        case "completed":
            return Text("completed", "green")
        case "failed":
            return Text("failed", "yellow")
        case None:
            return Text("no event", "dim")
        case other:
            return Text(f"{other} {came['progress']} %", "red")


def _seconds(came: dict[str, Any]) -> str:
    """Seconds from the first event of a job to its last, as the inbox saw them."""
    if not came:
        return "–"
    first, last = (datetime.fromisoformat(came[f"{end}_event_at"]) for end in ("first", "last"))
    return f"{(last - first).total_seconds():.1f}"
