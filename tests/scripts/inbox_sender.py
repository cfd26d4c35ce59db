"""An inbox that runs, and somebody who signs and posts events to it as the worker does."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from standardwebhooks import Webhook

from scripts.inbox import InboxSettings, serve

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STATUS_OF = {"completed": "completed", "failed": "failed", "progress": "processing"}


@dataclass
class Sender:
    """Signs and posts events as the worker does."""

    url: str
    http: aiohttp.ClientSession
    secret: str = SECRET
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def event(self, kind: str, job_id: str, progress: int = 100, **data: Any) -> bytes:
        body = {
            "type": f"analysis.{kind}",
            "timestamp": datetime.now(UTC).isoformat(),
            "data": {
                "job_id": job_id,
                "video_id": None,
                "status": STATUS_OF[kind],
                "progress": progress,
                "message": "Said by a test.",
                "attempt": 1,
                "metadata": {},
                **data,
            },
        }
        return json.dumps(body).encode()

    def headers(
        self, body: bytes, webhook_id: str | None = None, *, age: timedelta = timedelta(0)
    ) -> dict[str, str]:
        identity = webhook_id or f"evt_{next(self.numbers)}"
        at = datetime.now(UTC) - age
        return {
            "webhook-id": identity,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(identity, at, body.decode()),
            "content-type": "application/json",
        }

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
        signed = self.headers(body) if headers is None else headers
        async with self.http.post(f"{self.url}webhook", data=body, headers=signed) as answer:
            return answer.status, await answer.text()

    async def send(self, kind: str, job_id: str, progress: int = 100, **data: Any) -> None:
        status, text = await self.post(self.event(kind, job_id, progress, **data))
        assert status == 204, text

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(f"{self.url}{path}") as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())


class Running:
    """An inbox served in this process, as its own command would serve it."""

    def __init__(self, settings: InboxSettings, capsys: pytest.CaptureFixture[str]) -> None:
        self._settings = settings
        self._capsys = capsys
        self._stop = asyncio.Event()

    async def __aenter__(self) -> str:
        self._task = asyncio.create_task(serve(self._settings, self._stop))
        said = ""
        async with asyncio.timeout(10):
            while "http" not in said:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.01)
                said += self._capsys.readouterr().out
        return said.split()[-1]

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task
