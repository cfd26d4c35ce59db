"""Single requests of the I/O process, against the libraries' own calls that they stand for.

CPU time of the asking process alone; the servers are others. Why the worker makes these itself is
to be seen here, and would be seen here if it were no longer so.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from scripts.bench import bench_queue, fleet_run
from scripts.bench.bench_queue import BATCH, BenchQueue
from scripts.bench.figure import Figure, interleaved
from scripts.bench.fleet_run import Stand
from scripts.bench.object_server import BUCKET, KEY, OBJECT_BYTES
from scripts.bench.systems import Letter
from scripts.chaos.fleet import worker_environment
from worker import event_loop
from worker.aws import AwsClients, open_clients
from worker.contract import Event, EventType
from worker.locations import S3Location
from worker.metrics import Metrics
from worker.netguard import NetGuard
from worker.queue import Queue
from worker.results import ResultStore
from worker.storage import Storage
from worker.transport import Exchanger, default_ssl_context

PART: Final = "requests"
REQUESTS: Final = 400
UNTIMED: Final = 40
"""Connections are opened, and the SDK shows how it asks."""

EVENT: Final = b'{"job_id": "bench", "result": "%s"}' % (b"x" * 250)
HEADERS: Final = {"webhook-id": "e", "webhook-timestamp": "0", "webhook-signature": "v1,AAAA"}
TIMEOUT_S: Final = 10.0
US_PER_S: Final = 1e6

Ask = Callable[[], Awaitable[object]]
Asking = Callable[[Stand, int], AbstractAsyncContextManager[Ask]]
"""Opens what is needed for so many requests; the block gets what makes one."""


def measure(runs: int, *, requests: int = REQUESTS) -> list[Figure]:
    """Make each kind of request so many times in each way, in turn.

    Raises
    ------
    NotInstalledError
        There is no SQS server for load.
    """
    spent: dict[str, list[float]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as scratch,
        fleet_run.stand(Path(scratch)) as on,
        _asking_nobody_else(on),
    ):
        things = {
            name: partial(_cpu_us, on, asking, requests)
            for pair in KINDS.values()
            for name, asking in pair.items()
        }
        for name, used_us in interleaved(runs, things):
            spent[name].append(used_us)
    figures = [Figure.of(PART, name, "µs CPU", values) for name, values in spent.items()]
    for kind, (ours, theirs) in KINDS.items():
        figures.append(Figure.ratio(PART, f"{kind}: {ours} / {theirs}", spent[ours], spent[theirs]))
    return figures


@contextmanager
def _asking_nobody_else(on: Stand) -> Iterator[None]:
    """Have the SDK find these servers, and nothing of the machine's own settings."""
    before = dict(os.environ)
    environment = worker_environment(sqs=on.sqs, s3=on.s3, queue_url="", secret="", settings={})
    os.environ.update({name: value for name, value in environment.items() if "AWS_" in name})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _cpu_us(on: Stand, asking: Asking, requests: int) -> float:
    async def main() -> float:
        async with asking(on, requests + UNTIMED) as ask:
            for _ in range(UNTIMED):
                await ask()
            began = time.process_time()
            for _ in range(requests):
                await ask()
            return (time.process_time() - began) / requests * US_PER_S

    return event_loop.run(main())


# --- the ways


@asynccontextmanager
async def _reading(on: Stand, _: int, *, by_sdk: bool) -> AsyncIterator[Ask]:
    async with open_clients() as clients:
        storage = Storage(clients.s3, None if by_sdk else clients.objects)
        where = S3Location(BUCKET, KEY)
        yield partial(storage.fetch, where, what="recording", max_bytes=2 * OBJECT_BYTES)


@asynccontextmanager
async def _keeping(on: Stand, _: int, *, by_sdk: bool) -> AsyncIterator[Ask]:
    """A result's way through its bucket: not there, noted, written, delivered, struck off."""
    async with open_clients() as clients:
        storage = Storage(clients.s3, None if by_sdk else clients.objects)
        store = ResultStore(storage, bucket=BUCKET, prefix="results/", use_cache=False)
        event = Event("e", EventType.COMPLETED, "bench", EVENT)

        async def ask() -> None:
            assert await store.find(event.job_id) is None  # noqa: S101
            await store.keep(event, fingerprint="f", webhook_url=on.inbox.webhook)
            await store.mark_delivered(event.job_id)

        yield ask


@asynccontextmanager
async def _taking(on: Stand, rounds: int, *, by_sdk: bool) -> AsyncIterator[Ask]:
    with bench_queue.made(on.sqs, f"bench-requests-{by_sdk}") as filled:
        _fill(filled, rounds)
        async with open_clients() as clients:
            queue = _queue(clients, filled.url, by_sdk=by_sdk)

            async def ask() -> None:
                messages = await queue.receive(BATCH, wait_s=0, visibility_s=60)
                await asyncio.gather(*(queue.delete(message) for message in messages))

            yield ask


def _fill(queue: BenchQueue, rounds: int) -> None:
    queue.fill([Letter(f'{{"job_id": "{number}"}}') for number in range(rounds * BATCH)])


def _queue(clients: AwsClients, url: str, *, by_sdk: bool) -> Queue:
    return Queue(clients.sqs, url, Metrics(), calls=None if by_sdk else clients.calls)


@asynccontextmanager
async def _posting(on: Stand, _: int) -> AsyncIterator[Ask]:
    guard = NetGuard(allow_private=True)
    target = guard.target(on.inbox.webhook)
    async with Exchanger(guard, timeout_s=TIMEOUT_S, max_idle=1) as exchanger:
        yield partial(exchanger.post, target, EVENT, HEADERS)


@asynccontextmanager
async def _posting_by_httpx(on: Stand, _: int) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=default_ssl_context()) as client:
        yield partial(client.post, on.inbox.webhook, content=EVENT, headers=HEADERS)


KINDS: Final[dict[str, dict[str, Asking]]] = {
    "an input": {
        "GET of 16 kB": partial(_reading, by_sdk=False),
        "GET of 16 kB by the SDK": partial(_reading, by_sdk=True),
    },
    "a kept result": {
        "five calls for a result": partial(_keeping, by_sdk=False),
        "five calls for a result by the SDK": partial(_keeping, by_sdk=True),
    },
    "ten messages": {
        "receive and delete of ten": partial(_taking, by_sdk=False),
        "receive and delete of ten by the SDK": partial(_taking, by_sdk=True),
    },
    "an event": {"POST": _posting, "POST by httpx": _posting_by_httpx},
}
