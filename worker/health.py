"""The health port: is the process alive, does it take work, what has it counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from worker.metrics import Metrics
    from worker.settings import Settings

Check = Callable[[], str | None]
"""None when all is well, else why not, in a sentence."""


class HealthServer:
    """Serves `/livez`, `/readyz` and `/metrics`.

    `/livez` and `/readyz` answer 200 or 503 with `{"status", "reason"}`. An orchestrator restarts
    what is not alive, so `alive` must hold during an outage of SQS; what is not ready is only
    left alone.

    Parameters
    ----------
    settings
        `health_host` and `health_port`; with port 0 nothing is served.
    alive, ready
        Return None, or why not.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, alive: Check, ready: Check) -> None:
        self._host = settings.health_host
        self._port = settings.health_port
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Bind the port.

        Raises
        ------
        OSError
            The port is taken; the text names the setting.
        """
        if not self._port or self._runner is not None:
            return
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, reuse_address=True).start()
        except OSError as error:
            await runner.cleanup()
            raise OSError(
                error.errno,
                f"The health port {self._host}:{self._port} cannot be bound "
                f"({error.strerror or error}): set WORKER_HEALTH_PORT to a free one, or to 0.",
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Let the port go."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _livez(self, _request: web.Request) -> web.Response:
        return _answer(self._alive)

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._ready)

    async def _scrape(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._metrics.registry), headers={"Content-Type": content_type}
        )


def _answer(check: Check) -> web.Response:
    try:
        reason = check()
    except Exception as error:  # a broken check is news for the prober, not a 500 without words
        reason = f"the check itself failed: {type(error).__name__}: {error}"
    if reason is None:
        return web.json_response({"status": "ok", "reason": None})
    return web.json_response({"status": "unavailable", "reason": reason}, status=503)
