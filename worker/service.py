"""The process around the consumer: made in order, ready when warm, drained when told to stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from worker import logs, tracing
from worker.attempt import Attempts
from worker.aws import AwsClients, open_clients
from worker.consumer import Consumer
from worker.core import WarmUpError, open_analysts, open_core
from worker.ecs import TaskProtection
from worker.failures import ErrorCode, classify
from worker.fleet import report_depths
from worker.health import HealthServer
from worker.intake import Intake
from worker.lease import LeaseKeeper
from worker.metrics import Metrics
from worker.pool import AnalysisPool
from worker.queue import Queue
from worker.settings import ECS_STOP_TIMEOUT_S, Settings, SettingsError
from worker.settlement import Settlement
from worker.stop import Stop

START_RETRY_FIRST_S: Final = 1.0
START_RETRY_MAX_S: Final = 30.0

EXIT_SETTLED: Final = 0
EXIT_FAILED: Final = 1

log = logs.get_logger()


class StartError(Exception):
    """The worker cannot run as it is set up; the text says what to do."""


@dataclass(frozen=True)
class RunOptions:
    """What `run` is asked for beside the settings."""

    until_empty: bool
    """End when every queue is."""
    allow_no_dlq: bool
    """Run on a queue without a dead-letter queue: what fails for ever is logged and deleted."""


@dataclass
class State:
    """What the health endpoints ask."""

    not_ready: str | None = "starting"
    consumer: Consumer | None = None

    def ready(self) -> str | None:
        """Why jobs are not taken; None if they are."""
        return self.not_ready

    def alive(self) -> str | None:
        """Why the process must be replaced; None if it need not."""
        return None if self.consumer is None else self.consumer.stalled()


async def run(settings: Settings, *, until_empty: bool = False, allow_no_dlq: bool = False) -> int:
    """Take jobs until told to stop.

    Returns
    -------
    The exit code: 0 if every message was settled or handed back.
    """
    if settings.drain_s >= ECS_STOP_TIMEOUT_S:
        log.warning(
            "drain_longer_than_ecs_allows",
            drain_s=settings.drain_s,
            advice="Keep WORKER_WAIT_TIME_S + WORKER_SHUTDOWN_GRACE_S under 120.",
        )
    options = RunOptions(until_empty=until_empty, allow_no_dlq=allow_no_dlq)
    stop = Stop(asyncio.get_running_loop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    state = State()
    metrics = Metrics.for_settings(settings)
    tracing.configure()
    async with AsyncExitStack() as stack:
        stack.callback(stop.forget)
        stack.callback(tracing.shutdown)
        await metrics.start()
        stack.push_async_callback(metrics.stop)
        health = HealthServer(settings, metrics, alive=state.alive, ready=state.ready)
        await health.start()
        stack.push_async_callback(health.stop)
        try:
            return await stop.or_result(
                _serve(settings, state, metrics, stop, options), stopped_early=EXIT_SETTLED
            )
        except (StartError, SettingsError, WarmUpError) as error:
            log.error("cannot_start", reason=str(error))
            return EXIT_FAILED


async def _serve(
    settings: Settings,
    state: State,
    metrics: Metrics,
    stop: Stop,
    options: RunOptions,
) -> int:
    async with AsyncExitStack() as stack:
        analysts = await stack.enter_async_context(open_analysts(settings, metrics))
        clients = await stack.enter_async_context(
            open_clients(
                wait_time_s=settings.wait_time_s,
                max_connections=settings.concurrency * 8 + settings.delivery_concurrency,
            )
        )
        queues = await _open_queues(settings, clients, metrics, options)
        core = await stack.enter_async_context(open_core(settings, clients, metrics, analysts))
        leases = LeaseKeeper(
            visibility_s=settings.visibility_timeout_s,
            job_timeout_s=settings.job_timeout_s,
            metrics=metrics,
        )
        intake = Intake(settings.concurrency, ranks=len(queues), reserve=settings.priority_reserve)
        protection = TaskProtection.from_environment(metrics)
        if protection is not None:
            await protection.start()
            stack.push_async_callback(protection.stop)
        consumer = Consumer(
            queues,
            intake=intake,
            leases=leases,
            attempts=Attempts(
                intake=intake,
                pipeline=core.pipeline,
                settlement=Settlement(
                    leases,
                    core.sinks,
                    retry_delay_s=settings.retry_delay_s,
                    retry_max_delay_s=settings.retry_max_delay_s,
                    metrics=metrics,
                ),
                sinks=core.sinks,
                metrics=metrics,
            ),
            metrics=metrics,
            wait_time_s=settings.wait_time_s,
            protection=protection,
            until_empty=options.until_empty,
        )
        state.consumer = consumer
        if settings.metrics_queue_depth:
            _report_depths(stack, clients, queues, metrics)
        _reload_on_hangup(stack, intake, core.pool)

        def stopping() -> None:
            state.not_ready = "stopping"
            consumer.stop_polling()

        def stopping_now() -> None:
            consumer.abort_polling()
            consumer.cut()

        stop.hand_over(stopping, stopping_now)
        if not stop.asked:
            state.not_ready = None
            log.info(
                "ready",
                queues=[queue.name for queue in queues],
                slots=core.pool.size,
                max_receives=[queue.max_receive_count for queue in queues],
            )
        try:
            await consumer.run()
        except asyncio.CancelledError:
            if not stop.asked_twice:
                raise
        state.not_ready = "stopping"
        await consumer.drain(0 if stop.asked_twice else settings.shutdown_grace_s)
        log.info("stopped", unsettled=consumer.unsettled, tasks=len(asyncio.all_tasks()))
        return EXIT_FAILED if consumer.unsettled else EXIT_SETTLED


async def _open_queues(
    settings: Settings, clients: AwsClients, metrics: Metrics, options: RunOptions
) -> list[Queue]:
    """Open every queue; wait out what time may mend, refuse what it does not."""
    queues = []
    for url in settings.queue_url:
        pause = START_RETRY_FIRST_S
        while True:
            try:
                queue = await Queue.open(clients.sqs, url, metrics, calls=clients.calls)
                break
            except ClientError as error:
                failure = classify(error, what=f"the queue {url}")
                if failure.code is not ErrorCode.STORAGE_UNAVAILABLE or _is_missing(error):
                    raise StartError(
                        f"{failure.message} Check WORKER_QUEUE_URL, AWS_REGION and the role: "
                        "`analysis-worker check` looks at each."
                    ) from error
            except (BotoCoreError, TimeoutError, OSError) as error:
                failure = classify(error, what=f"the queue {url}")
            log.warning("queue_unreachable", reason=failure.message, retry_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, START_RETRY_MAX_S)
        if queue.dead_letter_url is None and not options.allow_no_dlq:
            raise StartError(
                f"The queue {queue.name} has no RedrivePolicy: a job that always fails would come "
                "back for ever. Give it a dead-letter queue, or pass --allow-no-dlq."
            )
        queues.append(queue)
    return queues


def _is_missing(error: ClientError) -> bool:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return "NonExistentQueue" in code or "QueueDoesNotExist" in code


def _report_depths(
    stack: AsyncExitStack, clients: AwsClients, queues: list[Queue], metrics: Metrics
) -> None:
    """Export the depths of the queues, and of their dead-letter queues, until the stack ends."""
    dead = {queue.dead_letter_url for queue in queues if queue.dead_letter_url}
    urls = [*(queue.url for queue in queues), *sorted(dead)]
    task = asyncio.create_task(report_depths(clients.sqs, urls, metrics), name="queue-depths")
    stack.callback(task.cancel)


def _reload_on_hangup(stack: AsyncExitStack, intake: Intake, pool: AnalysisPool) -> None:
    """On SIGHUP read the settings again; concurrency and log level take effect at once."""
    loop = asyncio.get_running_loop()
    resizing: set[asyncio.Task[None]] = set()

    def reload() -> None:
        try:
            fresh = Settings.load()
        except SettingsError as error:
            log.error("settings_not_reloaded", reason=str(error))
            return
        logs.set_level(fresh.log_level)
        intake.resize(fresh.concurrency)
        task = loop.create_task(pool.resize(fresh.concurrency))
        resizing.add(task)
        task.add_done_callback(resizing.discard)
        log.info("settings_reloaded", slots=fresh.concurrency, log_level=fresh.log_level)

    loop.add_signal_handler(signal.SIGHUP, reload)
    stack.callback(loop.remove_signal_handler, signal.SIGHUP)
