"""A settlement with one message, on a modelled queue: what its rows are tried on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson

from tests.worker.sqs_model import Clock, ModelConsumer, ModelQueue, Points, SqsModel, body_of
from worker.lease import Lease, LeaseKeeper
from worker.metrics import PREFIX, Metrics
from worker.queue import Message
from worker.settlement import Settlement

MAX_RECEIVES = 4
RETRY_DELAY_S = 60.0
RETRY_MAX_DELAY_S = 900.0


class Bench:
    """A settlement with one message received."""

    def __init__(
        self,
        *,
        receive_count: int = 1,
        body: str | None = None,
        has_dead_letters: bool = True,
        has_other: bool = False,
    ) -> None:
        self.clock = Clock()
        self.model = SqsModel(self.clock, max_receives=MAX_RECEIVES)
        self.metrics = Metrics()
        points = Points(is_automatic=True)
        self.queue = ModelQueue(self.model, points, has_dead_letters=has_dead_letters)
        self.consumer = ModelConsumer(points, taken=[], has_other=has_other)
        self.leases = LeaseKeeper(
            visibility_s=60, job_timeout_s=600, metrics=self.metrics, clock=self.clock
        )
        self.settlement = Settlement(
            self.leases,
            self.consumer,
            retry_delay_s=RETRY_DELAY_S,
            retry_max_delay_s=RETRY_MAX_DELAY_S,
            metrics=self.metrics,
        )
        self.message_id = self.model.send(body if body is not None else body_of("job-1"))
        for _ in range(receive_count):
            self.lease = self._receive()

    def _receive(self) -> Lease:
        self.clock.now += 10_000
        ((stored, handle, count),) = self.model.receive(1, 60)
        return self.leases.take(
            Message(
                stored.message_id,
                handle,
                stored.body,
                cast("Any", self.queue),
                receive_count=count,
            )
        )

    def fail_calls(self, *names: str) -> None:
        """Have calls of these names refused from now on."""

        class Refusing(Points):
            async def stop_at(
                self, name: str, effect: Callable[[], Any], error: Callable[[], BaseException]
            ) -> Any:
                if name in names:
                    raise error()
                return effect()

        refusing = Refusing()
        self.queue._points = self.consumer.points = refusing

    @property
    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(event.body) for event in self.consumer.taken]

    @property
    def letter(self) -> dict[str, str]:
        (letter,) = self.model.copies[self.message_id]
        return dict(letter)

    def counted(self, outcome: str, code: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"{PREFIX}_jobs_settled_total", {"outcome": outcome, "code": code}
        )
