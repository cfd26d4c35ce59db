"""A webhook consumer with moods: it fails, hangs, answers slowly, and remembers what it took."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

HANG_S: Final = 20.0
SLOW_S: Final = 0.8


@dataclass
class Moods:
    """Shares of the requests that are treated so."""

    fails: float = 0.05
    hangs: float = 0.01
    slow: float = 0.05
    drops: float = 0.02


@dataclass
class Taken:
    """What the consumer answered 2xx to, by job."""

    final: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """job_id to (webhook-id, event type), one for each delivery."""
    forged: int = 0


class Consumer:
    """Verifies every signature; what it answered 2xx to counts as delivered."""

    def __init__(self, secret: str, draw: random.Random) -> None:
        self.taken = Taken()
        self.moods = Moods()
        self._webhook = Webhook(secret)
        self._draw = draw
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port of loopback; returns the address."""
        application = web.Application(client_max_size=2**20)
        application.router.add_post("/hook", self._hook)
        application.router.add_post("/gone", self._gone)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.taken.forged += 1
            return web.Response(status=401)
        mood = self._draw.random()
        for share, treat in (
            (self.moods.fails, self._fail),
            (self.moods.hangs, self._hang),
            (self.moods.drops, self._drop),
        ):
            if mood < share:
                return await treat(request)
            mood -= share
        if mood < self.moods.slow:
            await asyncio.sleep(SLOW_S)
        event = json.loads(body)
        self.taken.final[event["data"]["job_id"]].append(
            (request.headers["webhook-id"], event["type"])
        )
        return web.Response(status=204)

    async def _fail(self, request: web.Request) -> web.Response:
        return web.Response(status=503)

    async def _hang(self, request: web.Request) -> web.Response:
        await asyncio.sleep(HANG_S)
        return web.Response(status=500)

    async def _drop(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _gone(self, request: web.Request) -> web.Response:
        return web.Response(status=410)
