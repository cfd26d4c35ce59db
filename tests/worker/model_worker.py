"""One worker on the model of SQS: real consumer, leases, intake and settlement; virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from tests.worker.sqs_model import Clock, ModelConsumer, ModelQueue, Pending, Points, SqsModel
from worker.attempt import Attempts
from worker.consumer import Consumer
from worker.contract import Addressee, Event, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.intake import Intake
from worker.lease import LeaseKeeper
from worker.metrics import Metrics
from worker.queue import Message
from worker.settlement import Settlement
from worker.sinks import Delivery

VISIBILITY_S = 60
JOB_TIMEOUT_S = 300.0
WAIT_S = 20
GRACE_S = 90.0
METRICS = Metrics()
"""One for all: they are not what is looked at here, and costly to make."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the model's; it runs what is due and then stands still."""

    def __init__(self, clock: Clock) -> None:
        self._virtual = clock
        super().__init__()

    def time(self) -> float:
        return self._virtual.now

    def next_timer(self) -> float | None:
        timers = [t.when() for t in cast("Any", self)._scheduled if not t.cancelled()]
        return min(timers, default=None)

    def run_due(self) -> None:
        while True:
            self.call_soon(self.stop)
            self.run_forever()
            due = self.next_timer()
            if not cast("Any", self)._ready and (due is None or due > self.time()):
                return


class ModelPipeline:
    """Fetches, scores and delivers, each a point where the fate of the job is decided."""

    def __init__(self, points: Points, consumer: ModelConsumer) -> None:
        self._points = points
        self._consumer = consumer

    async def run(
        self,
        message: Message,
        *,
        on_started: Callable[[], None],
        on_scored: Callable[[], None],
        delivery: Delivery,
    ) -> None:
        await self._points.stop_at("fetch", lambda: None, _unavailable)
        on_started()
        await self._points.stop_at("score", lambda: None, _lost)
        with await self._consumer.place("https://consumer.test/hook", can_come_back=False):
            on_scored()
            event = build_event(
                EventType.COMPLETED,
                Addressee.salvage(message.body),
                attempt=message.receive_count,
                progress=100,
                message="",
                result=b"{}",
            )
            await self._consumer.send("https://consumer.test/hook", event)


def _unavailable() -> BaseException:
    return JobFailure(ErrorCode.STORAGE_UNAVAILABLE, "503")


def _lost() -> BaseException:
    return JobFailure(ErrorCode.WORKER_LOST, "killed")


class ModelWorker:
    """One worker process: real consumer, leases, intake and settlement on a loop of its own."""

    def __init__(
        self,
        model: SqsModel,
        taken: list[Event],
        *,
        attempts_class: type[Attempts] = Attempts,
        settlement_class: type[Settlement] = Settlement,
        slots: int = 1,
    ) -> None:
        self.loop = VirtualLoop(model.clock)
        self.points = Points()
        self.queue = ModelQueue(model, self.points)
        self.leases = LeaseKeeper(
            visibility_s=VISIBILITY_S,
            job_timeout_s=JOB_TIMEOUT_S,
            metrics=METRICS,
            clock=model.clock,
        )
        self.intake = Intake(slots)
        sinks = ModelConsumer(self.points, taken)
        self.consumer = Consumer(
            [cast("Any", self.queue)],
            intake=self.intake,
            leases=self.leases,
            attempts=attempts_class(
                intake=self.intake,
                pipeline=cast("Any", ModelPipeline(self.points, sinks)),
                settlement=settlement_class(
                    self.leases,
                    sinks,
                    retry_delay_s=30,
                    retry_max_delay_s=120,
                    metrics=METRICS,
                ),
                sinks=cast("Any", sinks),
                metrics=METRICS,
            ),
            metrics=METRICS,
            wait_time_s=WAIT_S,
        )
        self.is_draining = False
        self._life = self.loop.create_task(self._live())
        self.loop.run_due()

    async def _live(self) -> None:
        await self.consumer.run()
        await self.consumer.drain(GRACE_S)

    @property
    def has_ended(self) -> bool:
        return self._life.done()

    def drain(self) -> None:
        self.is_draining = True
        self.loop.call_soon(self.consumer.stop_polling)
        self.loop.run_due()

    def kill(self) -> list[Pending]:
        """End it as kill -9 does; what it has put on the wire stays there."""
        on_the_wire, self.points.pending = self.points.pending, []
        self.points.is_dead = True
        for _ in range(3):  # a task may swallow one cancellation to clean up
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_due()
        self._life.cancelled() or self._life.exception()
        self.loop.close()
        return on_the_wire
