"""What nobody else puts right, for a schedule: all repairs, one after the other.

Each may run twice, side by side, and be cut short anywhere; one that fails does not stop the next.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from worker import handlers
from worker.aws import AwsClients, open_clients
from worker.expiry import expire
from worker.failures import JobFailure
from worker.locations import S3Location
from worker.logs import get_logger
from worker.metrics import Metrics
from worker.queue import ResultQueue
from worker.redrive_policy import read_redrive_policy
from worker.results import ResultStore
from worker.secrets import WebhookKeys
from worker.settings import Settings
from worker.silent_letters import SilentLetters
from worker.sinks import Sinks
from worker.storage import Storage
from worker.sweep_report import Deliverer, SweepReport
from worker.undelivered import Undelivered
from worker.webhook import WebhookSender

DEFAULT_UNDELIVERED_S: Final = 3600.0
"""Until then the job's own retries are given the chance."""

DEFAULT_LIMIT: Final = 10_000

_log = get_logger("worker.sweep")


@dataclass(frozen=True)
class SweepOptions:
    """What a sweep is asked for."""

    undelivered_older_than_s: float = DEFAULT_UNDELIVERED_S
    results_older_than_s: float | None = None
    """Delete results past this age; None: never, or a lifecycle rule does."""
    uploads: S3Location | None = None
    """Bucket and prefix of recordings."""
    uploads_older_than_s: float | None = None
    limit: int = DEFAULT_LIMIT
    """Dead letters that are looked at in each queue."""


async def sweep(settings: Settings, options: SweepOptions) -> SweepReport:
    """Do every repair that the settings and options allow."""
    report = SweepReport()
    metrics = Metrics.for_settings(settings)
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(open_clients())
        keys = await WebhookKeys.load(settings, clients.session)
        webhook = await stack.enter_async_context(WebhookSender(settings, keys, metrics))
        storage = Storage(clients.s3)
        results = ResultStore.from_settings(settings, storage)
        sinks = Sinks(
            webhook,
            ResultQueue(clients.sqs, settings.result_queue_url, metrics)
            if settings.result_queue_url
            else None,
            concurrency=settings.delivery_concurrency,
            metrics=metrics,
            results=results,
        )
        deliverer = Deliverer(
            sinks=sinks,
            results=results,
            bulky=sorted(
                {
                    path
                    for handler in handlers.load(settings.handlers).values()
                    for path in handler.bulky
                }
            ),
            report=report,
        )
        for repair in (_answer_letters, _resend_results, _expire):
            try:
                await repair(settings, options, clients, deliverer, metrics)
            except* (JobFailure, ClientError, BotoCoreError, OSError, TimeoutError) as group:
                for error in group.exceptions:
                    _log.error("sweep_failed", repair=repair.__name__, reason=str(error))
                    report.errors += 1
            except* Exception:
                _log.exception("sweep_raised", repair=repair.__name__)
                report.errors += 1
        await metrics.stop()
    _log.info("swept", **report.as_dict())
    return report


async def _answer_letters(
    settings: Settings,
    options: SweepOptions,
    clients: AwsClients,
    deliverer: Deliverer,
    metrics: Metrics,
) -> None:
    for url in settings.queue_url:
        try:
            if policy := await read_redrive_policy(clients.sqs, url):
                letters = SilentLetters(
                    clients.sqs,
                    deliverer,
                    metrics,
                    source_url=url,
                    max_receives=policy.max_receive_count,
                )
                dlq_url = await policy.dead_letter_url(clients.sqs)
                await letters.answer_all(dlq_url, limit=options.limit)
        except* Exception as group:  # one queue that is gone or denied stops no other
            for error in group.exceptions:
                _log.error("sweep_failed", queue=url, error=type(error).__name__, reason=str(error))
                deliverer.report.errors += 1


async def _resend_results(
    settings: Settings,
    options: SweepOptions,
    clients: AwsClients,
    deliverer: Deliverer,
    _metrics: Metrics,
) -> None:
    if settings.results_bucket is None:
        return
    undelivered = Undelivered(
        clients.s3,
        Storage(clients.s3),
        deliverer,
        bucket=settings.results_bucket,
        prefix=settings.results_prefix,
    )
    await undelivered.resend_all(older_than_s=options.undelivered_older_than_s)


async def _expire(
    settings: Settings,
    options: SweepOptions,
    clients: AwsClients,
    deliverer: Deliverer,
    _metrics: Metrics,
) -> None:
    if settings.results_bucket and options.results_older_than_s is not None:
        await expire(
            clients.s3,
            settings.results_bucket,
            settings.results_prefix,
            older_than_s=options.results_older_than_s,
            report=deliverer.report,
            is_results=True,
        )
    if options.uploads and options.uploads_older_than_s is not None:
        await expire(
            clients.s3,
            options.uploads.bucket,
            options.uploads.key,
            older_than_s=options.uploads_older_than_s,
            report=deliverer.report,
        )
