"""Consumers of webhooks for the worker's tests: real HTTP servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

import worker.webhook
from worker.resolver import Resolver
from worker.secrets import WebhookKeys
from worker.settings import Settings
from worker.webhook import WebhookSender


@dataclass(frozen=True)
class Received:
    """One request as a consumer got it."""

    headers: dict[str, str]
    body: bytes
    path: str
    peer_port: int
    at_s: float


Answer = web.StreamResponse | int
Handler = Callable[[web.Request], Awaitable[Answer]]


@dataclass
class Consumer:
    """A consumer: what it answers may be changed while it runs."""

    answers: Iterator[Answer] | None = None
    handler: Handler | None = None
    received: list[Received] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0
    scheme: str = "http"
    server: web.Server | None = None

    @property
    def url(self) -> str:
        """Where it takes events."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def origin(self) -> str:
        """Its address as the worker names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections that are open, used or not."""
        return len(self.server.connections) if self.server else 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request and answer it."""
        body = await request.read()
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        self.received.append(
            Received(
                dict(request.headers),
                body,
                request.path_qs,
                peer[1],
                asyncio.get_running_loop().time(),
            )
        )
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer: Answer = 200
            if self.handler is not None:
                answer = await self.handler(request)
            elif self.answers is not None:
                answer = next(self.answers)
        finally:
            self.at_once -= 1
        return web.Response(status=answer) if isinstance(answer, int) else answer


OpenConsumer = Callable[..., Awaitable[Consumer]]


@pytest_asyncio.fixture
async def open_consumer() -> AsyncIterator[OpenConsumer]:
    """Start a consumer: `await open_consumer(answers=[500, 200])`, `handler=`, `ssl_context=`."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            answers: Iterable[Answer] | None = None,
            handler: Handler | None = None,
            **site_options: Any,
        ) -> Consumer:
            consumer = Consumer(iter(answers) if answers is not None else None, handler)
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", consumer.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0, **site_options)
            await site.start()
            consumer.port = runner.addresses[0][1]
            consumer.server = runner.server
            if site_options.get("ssl_context"):
                consumer.scheme = "https"
            return consumer

        yield start


RawBehaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest_asyncio.fixture
async def open_raw_consumer() -> AsyncIterator[Callable[[RawBehaviour], Awaitable[str]]]:
    """Start a server that speaks no proper HTTP; gives its URL."""
    async with AsyncExitStack() as stack:

        async def start(behave: RawBehaviour) -> str:
            tasks: set[asyncio.Task[None]] = set()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                tasks.add(task)
                try:
                    await behave(reader, writer)
                except (ConnectionError, asyncio.CancelledError):
                    pass
                finally:
                    writer.close()

            async def stop() -> None:
                server.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.push_async_callback(stop)
            port = server.sockets[0].getsockname()[1]
            return f"http://127.0.0.1:{port}/hook"

        yield start


class MetricsDouble:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.open_breakers = 0

    def webhook_attempt(self, status_class: str) -> None:
        """Note the class of an answer."""
        self.attempts.append(status_class)

    def breaker_state(self, open_count: int) -> None:
        """Note how many breakers are open."""
        self.open_breakers = open_count


@pytest.fixture
def attempt_metrics() -> MetricsDouble:
    """What the sender counts."""
    return MetricsDouble()


OpenSender = Callable[..., Awaitable[WebhookSender]]


@pytest_asyncio.fixture
async def open_sender(attempt_metrics: MetricsDouble) -> AsyncIterator[OpenSender]:
    """Make a sender for local consumers: settings by name, and `keys`, `resolver`."""
    async with AsyncExitStack() as stack:

        async def start(
            *, keys: WebhookKeys | None = None, resolver: Resolver | None = None, **options: Any
        ) -> WebhookSender:
            usual = {"webhook_allow_private": True, "webhook_timeout_s": 5, "_env_file": None}
            settings = Settings(queue_url="https://sqs.test/q", **(usual | options))
            return await stack.enter_async_context(
                WebhookSender(settings, keys, attempt_metrics, resolver=resolver)
            )

        yield start


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the attempts of one delivery follow each other closely."""
    monkeypatch.setattr(worker.webhook, "ATTEMPT_TIMES_S", (0.0, 0.01, 0.03))
