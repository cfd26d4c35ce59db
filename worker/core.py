"""The parts that do a job, made in order and ended in the other: with or without a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from worker import handlers as job_handlers
from worker import logs
from worker.aws import AwsClients
from worker.contract import Event
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


@asynccontextmanager
async def open_core(
    settings: Settings,
    clients: AwsClients,
    metrics: Metrics,
    *,
    also: Callable[[Event], None] | None = None,
) -> AsyncIterator[Core]:
    """Make the pipeline with warm analysis processes, and end them."""
    handlers = job_handlers.load(settings.handlers)
    async with AsyncExitStack() as stack:
        keys = await WebhookKeys.load(settings, clients.session)
        if keys is None:
            log.warning(
                "webhooks_unsigned",
                advice="Set WORKER_WEBHOOK_SECRET, so that consumers can tell who calls.",
            )
        webhook = await stack.enter_async_context(WebhookSender(settings, keys, metrics))
        pool = AnalysisPool(
            settings.concurrency,
            warm_ups=_warm_ups(handlers),
            max_jobs=settings.child_max_jobs,
            max_mb=settings.child_max_mb,
            metrics=metrics,
        )
        stack.push_async_callback(pool.stop)
        await pool.start()
        sinks = Sinks(
            webhook,
            ResultQueue(clients.sqs, settings.result_queue_url, metrics)
            if settings.result_queue_url
            else None,
            concurrency=settings.delivery_concurrency,
            metrics=metrics,
            also=also,
        )
        storage = Storage(clients.s3)
        yield Core(
            Pipeline(
                settings,
                handlers,
                storage=storage,
                results=ResultStore.from_settings(settings, storage),
                pool=pool,
                sinks=sinks,
                webhook=webhook,
                metrics=metrics,
            ),
            pool,
            sinks,
        )


def _warm_ups(handlers: Mapping[str, JobHandler]) -> list[Callable[[], None]]:
    return [handler.warm_up for handler in handlers.values()]
