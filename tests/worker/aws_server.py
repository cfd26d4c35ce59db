"""A server in the place of an AWS service, which tells our requests from the SDK's own calls."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AwsServer:
    """Answers both kinds of requests as it is told, and keeps them.

    Parameters
    ----------
    answer
        How to answer, until told otherwise.
    """

    def __init__(self, answer: Answer) -> None:
        self.by_us: list[web.Request] = []
        self.by_sdk: list[web.Request] = []
        self.ours = self.sdks = answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_sdks = "amz-sdk-invocation-id" in request.headers
        (self.by_sdk if is_sdks else self.by_us).append(request)
        await request.read()
        return await (self.sdks if is_sdks else self.ours)(request)

    def forget(self) -> None:
        """Count from here on."""
        self.by_us.clear()
        self.by_sdk.clear()


@asynccontextmanager
async def running(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Have the server answer every AWS client that is opened meanwhile."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield
    await runner.cleanup()


async def cut(request: web.Request) -> web.StreamResponse:
    """Answer nothing, and hang up."""
    assert request.transport
    request.transport.abort()
    return web.Response()


def through_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server answer for every host, as a proxy does."""
    monkeypatch.setenv("HTTP_PROXY", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.invalid")


def heard(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What a module logs from now on, at level INFO."""
    lines: list[tuple[str, dict[str, Any]]] = []
    note = SimpleNamespace(info=lambda event, **fields: lines.append((event, fields)))
    monkeypatch.setattr(module, "log", note)
    return lines
