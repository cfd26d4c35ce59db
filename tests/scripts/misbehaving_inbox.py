"""The inbox with faults in front of it, for tests of what its senders do then."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web

from scripts.inbox import Inbox, InboxSettings
from scripts.inbox_store import InboxStore

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Faults:
    """What happens to a job's next deliveries.

    `503` and other numbers: answered so, not stored. `lose_answer`: stored, and the connection
    closed without an answer. `drop`: the connection closed before anything is stored. `hang`: not
    answered until the inbox closes.
    """

    def __init__(self) -> None:
        self._plans: dict[str, deque[str]] = {}
        self._closed = asyncio.Event()
        self.met: list[tuple[str, str]] = []

    def plan(self, job_id: str, *faults: str) -> None:
        """Let a job's next deliveries meet these, one each; `ok` lets one through."""
        self._plans.setdefault(job_id, deque()).extend(faults)

    def close(self) -> None:
        """Let go of whom it keeps hanging."""
        self._closed.set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Stand in front of the inbox."""
        if request.method != "POST":
            return await handler(request)
        job_id = json.loads(await request.read())["data"]["job_id"]
        fault = self._next(job_id)
        self.met.append((job_id, fault))
        if fault == "hang":
            await self._closed.wait()
        elif fault.isdigit():
            return web.Response(status=int(fault))
        elif fault != "drop":
            answer = await handler(request)
            if fault == "ok":
                return answer
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # nobody hears it

    def _next(self, job_id: str) -> str:
        plan = self._plans.get(job_id)
        return plan.popleft() if plan else "ok"


@asynccontextmanager
async def misbehaving(settings: InboxSettings) -> AsyncIterator[tuple[str, Faults]]:
    """Serve an inbox behind its faults; the address and the faults to plan."""
    faults = Faults()
    async with InboxStore(settings.database) as store:
        application = Inbox(replace(settings, port=0), store).application()
        application.middlewares.append(faults.middleware)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/", faults
        finally:
            faults.close()
            await runner.cleanup()
