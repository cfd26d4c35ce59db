"""Jobs of scripted steps, as messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.account import TestQueue, unique
from tests.integration.inbox import Inbox


class Script:
    """One scripted job: what it says, and the files that it talks through."""

    def __init__(self, inbox: Inbox, name: str, *steps: str, hook: str = "hook") -> None:
        self.job_id = unique(name)
        self.body: dict[str, Any] = {
            "job_id": self.job_id,
            "s3_audio_url": "s3://none/none",
            "webhook_url": inbox.url(hook),
            "text": "\n".join(steps) or "say nothing",
        }

    def send(self, queue: TestQueue, *, group: str | None = None) -> str:
        """Send it; the message id."""
        return queue.send(self.body, group=group, job_type="scripted")


class Held:
    """A scripted job that says when it begins and ends only when it is let go."""

    def __init__(self, inbox: Inbox, folder: Path, name: str, *, hook: str = "hook") -> None:
        self.started = folder / f"{name}.started"
        self.gate = folder / f"{name}.gate"
        self.script = Script(inbox, name, f"note {self.started}", f"await {self.gate}", hook=hook)
        self.job_id = self.script.job_id

    def send(self, queue: TestQueue, *, group: str | None = None) -> str:
        """Send it; the message id."""
        return self.script.send(queue, group=group)

    @property
    def starts(self) -> int:
        """How often its analysis has begun."""
        return len(self.started.read_text().splitlines()) if self.started.exists() else 0

    def let_go(self) -> None:
        """Let it end."""
        self.gate.touch()
