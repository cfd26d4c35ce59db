"""The parts that do a job, made in order and ended in the other: with or without a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from worker import handlers as job_handlers
from worker import logs
from worker.aws import AwsClients
from worker.handlers import JobHandler
from worker.metrics import Metrics
from worker.pipeline import Pipeline
from worker.pool import AnalysisPool
from worker.queue import ResultQueue
from worker.results import ResultStore
from worker.secrets import WebhookKeys
from worker.settings import Settings
from worker.sinks import Sinks
from worker.storage import Storage
from worker.webhook import WebhookSender

log = logs.get_logger()


@dataclass(frozen=True)
class Core:
    """What a job needs."""

    pipeline: Pipeline
    pool: AnalysisPool
    sinks: Sinks


class WarmUpError(Exception):
    """The analysis cannot be loaded: the installation is not usable."""


@dataclass(frozen=True)
class Analysts:
    """The handlers and the processes that run them, which warm up in the background."""

    handlers: Mapping[str, JobHandler]
    pool: AnalysisPool
    warming: asyncio.Task[None]

    async def warm(self) -> None:
        """Wait until every process is warm.

        Raises
        ------
        WarmUpError
            A process could not load what it needs.
        """
        try:
            await asyncio.shield(self.warming)
        except Exception as error:
            raise WarmUpError(f"The analysis cannot be loaded: {error!r}") from error


@asynccontextmanager
async def open_analysts(settings: Settings, metrics: Metrics) -> AsyncIterator[Analysts]:
    """Begin to start the analysis processes, and end them.

    Opened before anything else, so that they warm up while the rest is made.
    """
    handlers = job_handlers.load(settings.handlers)
    pool = AnalysisPool(
        settings.concurrency,
        warm_ups=[handler.warm_up for handler in handlers.values()],
        max_jobs=settings.child_max_jobs,
        max_mb=settings.child_max_mb,
        metrics=metrics,
    )
    warming = asyncio.create_task(pool.start())
    try:
        yield Analysts(handlers, pool, warming)
    finally:
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await pool.stop()


@asynccontextmanager
async def open_core(
    settings: Settings,
    clients: AwsClients,
    metrics: Metrics,
    analysts: Analysts,
    *,
    answers_elsewhere: bool = False,
) -> AsyncIterator[Core]:
    """Make the pipeline, and wait until its analysis processes are warm."""
    async with AsyncExitStack() as stack:
        keys = await WebhookKeys.load(settings, clients.session)
        if keys is None:
            log.warning(
                "webhooks_unsigned",
                advice="Set WORKER_WEBHOOK_SECRET, so that consumers can tell who calls.",
            )
        webhook = await stack.enter_async_context(WebhookSender(settings, keys, metrics))
        storage = Storage(clients.s3, clients.objects)
        results = ResultStore.from_settings(settings, storage)
        sinks = Sinks(
            webhook,
            ResultQueue(clients.sqs, settings.result_queue_url, metrics)
            if settings.result_queue_url
            else None,
            concurrency=settings.delivery_concurrency,
            metrics=metrics,
            max_rps=settings.webhook_max_rps,
            results=results,
            answers_elsewhere=answers_elsewhere,
        )
        pipeline = Pipeline(
            settings,
            analysts.handlers,
            storage=storage,
            results=results,
            pool=analysts.pool,
            sinks=sinks,
            webhook=webhook,
            metrics=metrics,
        )
        await analysts.warm()
        yield Core(pipeline, analysts.pool, sinks)
