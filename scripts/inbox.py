"""The reference webhook consumer: verifies, keeps and shows the events that the worker sends.

    INBOX_WEBHOOK_SECRET=whsec_… python scripts/inbox.py --port 8090

Point jobs' `webhook_url` at `/webhook` and a browser at `/`. Reading needs no login: it listens
on loopback, and anything wider belongs behind a proxy that asks for one.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiobotocore.session import get_session
from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError
from standardwebhooks import Webhook, WebhookVerificationError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.inbox_queue import QueueStatus
from scripts.inbox_store import FINAL_STATUSES, InboxStore, IncomingEvent
from scripts.inbox_streams import Bell, StreamItem, last_event_id, stream

PAGE: Final = Path(__file__).resolve().parent / "inbox_page"

_MAX_EVENT_BYTES: Final = 1 << 20  # sixteen times what the worker sends
_JOBS_LISTED: Final = 200
_FORGET_EVERY_S: Final = 3600.0
_CLOSING_S: Final = 2.0
_STATUSES: Final = ("processing", *FINAL_STATUSES)
# The page has no script or style but its own, so that nothing in an event can bring one along.
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class InboxSettings:
    """How to run an inbox.

    `secrets` holds the signing secrets that are accepted, two while a key is rotated; `queue_url`
    is the queue whose counts the page shows, if any; `sync` waits for the disk before each answer.
    """

    database: Path
    secrets: Sequence[str] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8090
    queue_url: str | None = None
    keep: timedelta = timedelta(days=30)
    sync: bool = False


class Inbox:
    """The handlers, and what they share."""

    def __init__(self, settings: InboxSettings, store: InboxStore) -> None:
        self._verifiers = [Webhook(secret) for secret in settings.secrets]
        self._store = store
        self._queue: QueueStatus | None = None
        self._settings = settings
        self.bell = Bell()

    def application(self) -> web.Application:
        """Build the aiohttp application; the store must be open while it runs."""
        application = web.Application(client_max_size=_MAX_EVENT_BYTES)
        application.router.add_post("/webhook", self.receive)
        application.router.add_get("/jobs", self.list_jobs)
        application.router.add_get("/jobs/{job_id}", self.show_job)
        application.router.add_get("/jobs/{job_id}/events", self.follow_job)
        application.router.add_get("/events", self.follow_all)
        application.router.add_get("/queue/status", self.queue_status)
        application.router.add_get("/", self.page)
        application.router.add_static("/page/", PAGE)
        application.on_response_prepare.append(_secure)
        application.on_shutdown.append(self._close_streams)
        application.cleanup_ctx.append(self._watch_queue)
        application.cleanup_ctx.append(self._forget_old)
        return application

    async def receive(self, request: web.Request) -> web.Response:
        """Take one event: 204 once it is stored, also when it was there before."""
        event = self._verified(await request.read(), request.headers.get("webhook-id", ""), request)
        try:
            is_new = await self._store.add(event)
        except sqlite3.Error as error:
            # The sender keeps the event and tries again.
            raise web.HTTPServiceUnavailable(text=f"Not stored: {error}.") from error
        if is_new:
            self.bell.ring()
        return web.Response(status=204)

    def _verified(self, body: bytes, webhook_id: str, request: web.Request) -> IncomingEvent:
        reason = ""
        for verifier in self._verifiers:
            try:
                payload = verifier.verify(body, dict(request.headers))
            except json.JSONDecodeError as error:
                raise web.HTTPBadRequest(text=f"The body is no JSON: {error}.") from error
            except (WebhookVerificationError, ValueError) as error:
                # ValueError: a header that is not of the form at all.
                reason = str(error)
            else:
                _check_event(payload)
                return IncomingEvent(webhook_id, body.decode(), payload)
        raise web.HTTPUnauthorized(text=f"The signature was not accepted: {reason}.")

    async def list_jobs(self, request: web.Request) -> web.Response:
        """The jobs that changed last, the latest at the end."""
        return _json({"jobs": await self._store.jobs(limit=_JOBS_LISTED)})

    async def show_job(self, request: web.Request) -> web.Response:
        """One job as it stands, with its whole result."""
        return _json(await self._known_job(request))

    async def follow_job(self, request: web.Request) -> web.StreamResponse:
        """One job's events as they come, each with the body that was posted, to the final one."""
        job_id = request.match_info["job_id"]
        after = last_event_id(request)
        if after and await self._nothing_more(job_id, after):
            # By the standard, the answer that tells an EventSource not to come back.
            return web.Response(status=204)

        async def read(after_seq: int) -> tuple[list[StreamItem], bool]:
            events = await self._store.events(job_id, after_seq=after_seq)
            items = [StreamItem(event.seq, event.type, event.body) for event in events]
            is_last = any(event.type.rpartition(".")[2] in FINAL_STATUSES for event in events)
            return items, is_last

        return await stream(request, self.bell, after, read)

    async def _nothing_more(self, job_id: str, after_seq: int) -> bool:
        job = await self._store.job(job_id)
        return (
            job is not None
            and job["status"] in FINAL_STATUSES
            and not await self._store.events(job_id, after_seq=after_seq)
        )

    async def follow_all(self, request: web.Request) -> web.StreamResponse:
        """Every job's summary as it changes; several changes in one moment come as the last."""

        async def read(after_seq: int) -> tuple[list[StreamItem], bool]:
            jobs = await self._store.jobs(after_seq=after_seq, limit=_JOBS_LISTED)
            return [StreamItem(job["seq"], "job", json.dumps(job)) for job in jobs], False

        return await stream(request, self.bell, last_event_id(request), read)

    async def queue_status(self, request: web.Request) -> web.Response:
        """The counts of the queue and its dead-letter queue; 204 when no queue is watched."""
        if self._queue is None:
            return web.Response(status=204)
        try:
            return _json(await self._queue.read())
        except (BotoCoreError, ClientError) as error:
            raise web.HTTPBadGateway(text=f"The queue was not read: {error}.") from error

    async def page(self, request: web.Request) -> web.FileResponse:
        """The page."""
        return web.FileResponse(PAGE / "index.html")

    async def _known_job(self, request: web.Request) -> dict[str, Any]:
        job_id = request.match_info["job_id"]
        job = await self._store.job(job_id)
        if job is None:
            raise web.HTTPNotFound(text=f"No event of a job {job_id[:128]!r} has come.")
        return job

    async def _close_streams(self, _: web.Application) -> None:
        self.bell.close()

    async def _watch_queue(self, _: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if self._settings.queue_url:
                # boto ignores AWS_REGION, which ECS and people set.
                region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
                client = get_session().create_client("sqs", region_name=region)
                sqs = await stack.enter_async_context(client)
                self._queue = QueueStatus(sqs, self._settings.queue_url)
            yield

    async def _forget_old(self, _: web.Application) -> AsyncIterator[None]:
        async def forget_now_and_then() -> None:
            while True:
                await self._store.forget(older_than=self._settings.keep)
                await asyncio.sleep(_FORGET_EVERY_S)

        task = asyncio.create_task(forget_now_and_then())
        yield
        task.cancel()


def _check_event(payload: Any) -> None:
    """Refuse a signed body that is not an event: a sender's fault that a retry won't mend."""
    data = payload.get("data") if isinstance(payload, dict) else None
    if (
        not isinstance(data, dict)
        or not isinstance(payload.get("type"), str)
        or not isinstance(data.get("job_id"), str)
        or data.get("status") not in _STATUSES
        or not isinstance(data.get("progress"), int)
    ):
        raise web.HTTPUnprocessableEntity(
            text="An event needs type, data.job_id, data.status and data.progress."
        )


def _json(value: object) -> web.Response:
    return web.json_response(value, headers={"Cache-Control": "no-store"})


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _PAGE_HEADERS.items():
        response.headers.setdefault(name, value)


async def serve(settings: InboxSettings, stop: asyncio.Event) -> None:
    """Run an inbox until `stop` is set; says on stdout where it listens."""
    async with InboxStore(settings.database, sync=settings.sync) as store:
        runner = web.AppRunner(
            Inbox(settings, store).application(), access_log=None, shutdown_timeout=_CLOSING_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
            port = runner.addresses[0][1]
            print(f"Inbox on http://{settings.host}:{port}/", flush=True)
            await stop.wait()
        finally:
            await runner.cleanup()


async def _serve_until_signalled(settings: InboxSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main(
    *,
    secret: Annotated[
        str,
        typer.Option(
            envvar="INBOX_WEBHOOK_SECRET",
            show_default=False,
            show_envvar=True,
            help="The worker's signing secret, whsec_…; two, space-separated, during rotation.",
        ),
    ],
    database: Annotated[Path, typer.Option(help="The SQLite file.")] = Path("inbox.sqlite3"),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8090,
    queue_url: Annotated[
        str | None, typer.Option(envvar="INBOX_QUEUE_URL", help="The queue whose counts to show.")
    ] = None,
    keep_days: Annotated[int, typer.Option(min=1, help="When a job is forgotten.")] = 30,
    sync: Annotated[
        bool,
        typer.Option("--sync", help="Answer when the disk has it: outlives a power cut, slower."),
    ] = False,
) -> None:
    """Receive, keep and show the worker's events."""
    settings = InboxSettings(
        database=database,
        secrets=secret.split(),
        host=host,
        port=port,
        queue_url=queue_url,
        keep=timedelta(days=keep_days),
        sync=sync,
    )
    asyncio.run(_serve_until_signalled(settings))


if __name__ == "__main__":
    typer.run(main)
