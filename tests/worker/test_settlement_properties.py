"""Whatever happens in whatever order: no message is deleted unless delivered or dead-lettered.

Hypothesis drives real consumers, leases and settlements on a model of SQS with a virtual clock.
It decides the fate of every call (answered, answer lost, never arrived), lets time pass, kills
workers with calls on the wire, drains them and sends more messages. Two broken settlements at
the end show that the same machine would notice.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from enum import Enum
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.worker.model_worker import ModelWorker
from tests.worker.sqs_model import Clock, Fate, Pending, SqsModel, body_of
from worker.attempt import Attempts
from worker.contract import Event, EventType
from worker.failures import ErrorCode, JobFailure
from worker.intake import MAX_READ_AHEAD
from worker.lease import Lease
from worker.settlement import Settlement

MAX_RECEIVES = 3
MAX_MESSAGES = 6
WORKERS = 2
SETTLING_STEPS = 2000

FAILURES = (
    ErrorCode.NOT_FOUND,
    ErrorCode.STORAGE_UNAVAILABLE,
    ErrorCode.WORKER_LOST,
    ErrorCode.WEBHOOK_GONE,
    ErrorCode.WEBHOOK_UNAVAILABLE,
)


CALLS = st.tuples(
    st.integers(0, 1000),
    st.sampled_from([Fate.ANSWERED] * 8 + [Fate.ANSWER_LOST, Fate.NEVER_ARRIVES]),
    st.sampled_from([None] * 5 + [ErrorCode.NOT_FOUND] * 3 + list(FAILURES)),
)
"""Which call ends, how, and why the job fails if it is one that a job can fail in."""


class Trouble(Enum):
    """What befalls a fleet."""

    KILLED = "a worker is killed with calls on the wire"
    DRAINED = "a worker is told to stop"
    SUSPENDED = "the host stands still for a while"
    LATE_CALL = "a call of a worker that is gone arrives"
    DUPLICATE = "SQS hands out a message that is still invisible"
    STALE_HANDLES = "old receipt handles begin to work, or cease to"


class Fleet(RuleBasedStateMachine):
    """Two workers, one queue, one consumer of events."""

    attempts_class: type[Attempts] = Attempts
    settlement_class: type[Settlement] = Settlement

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.model = SqsModel(self.clock, max_receives=MAX_RECEIVES)
        self.taken: list[Event] = []
        self.sent: dict[str, str] = {}
        self.wire: list[Pending] = []
        """Calls of workers that are gone."""
        self.workers = [self._new_worker() for _ in range(WORKERS)]

    def _new_worker(self) -> ModelWorker:
        return ModelWorker(
            self.model,
            self.taken,
            attempts_class=self.attempts_class,
            settlement_class=self.settlement_class,
        )

    # --- what may happen

    @precondition(lambda self: len(self.sent) < MAX_MESSAGES)
    @rule(count=st.integers(1, 3))
    def send(self, count: int) -> None:
        for _ in range(count):
            job_id = f"job-{len(self.sent)}"
            self.sent[self.model.send(body_of(job_id))] = job_id

    @rule(calls=st.lists(CALLS, min_size=1, max_size=10))
    def calls_end(self, calls: list[tuple[int, Fate, ErrorCode | None]]) -> None:
        for choice, fate, failure in calls:
            self._end_one_call(choice, fate, failure)

    def _end_one_call(self, choice: int, fate: Fate, failure: ErrorCode | None) -> None:
        pending = [(w, p) for w in self.workers for p in w.points.pending]
        if not pending:
            return
        worker, call = pending[choice % len(pending)]
        worker.points.pending.remove(call)
        error = None
        if failure is not None and call.name in ("fetch", "score", "send"):
            error, fate = JobFailure(failure, "drawn"), Fate.NEVER_ARRIVES
        call.resolve(fate, error)
        self._run()

    @rule(seconds=st.sampled_from([1, 5, 10, 21, 45, 130]))
    def time_passes(self, seconds: int) -> None:
        until = self.clock.now + seconds
        while True:
            timers = [t for w in self.workers if (t := w.loop.next_timer()) is not None]
            due = min((t for t in timers if t <= until), default=None)
            if due is None:
                break
            self.clock.now = max(self.clock.now, due)
            self._run()
        self.clock.now = until
        self._run()

    @rule(trouble=st.sampled_from(list(Trouble)), choice=st.integers(0, 1000))
    def trouble(self, trouble: Trouble, choice: int) -> None:
        which = choice % WORKERS
        match trouble:
            case Trouble.KILLED:
                self.wire += self.workers[which].kill()
                self.workers[which] = self._new_worker()
            case Trouble.DRAINED:
                self.workers[which].drain()
                self._run()
            case Trouble.SUSPENDED:
                # An answer that lay in the socket is the first thing seen afterwards.
                self.clock.now += (21, 61, 130)[choice % 3]
                self._end_one_call(choice, Fate.ANSWERED, None)
            case Trouble.LATE_CALL:
                if self.wire:
                    self.wire.pop(choice % len(self.wire)).resolve(Fate.ANSWERED)
            case Trouble.DUPLICATE:
                for stored in list(self.model.queue.values())[:1]:
                    stored.visible_at = self.clock.now
            case Trouble.STALE_HANDLES:
                self.model.stale_handles_work = not self.model.stale_handles_work

    def _run(self) -> None:
        for i, worker in enumerate(self.workers):
            worker.loop.run_due()
            if worker.has_ended:
                self._goes_in_peace(worker)
                self.workers[i] = self._new_worker()

    def _goes_in_peace(self, worker: ModelWorker) -> None:
        assert worker.is_draining, "a worker ended unasked"
        assert worker.consumer.in_flight == 0 or worker.consumer.unsettled > 0
        self._check(worker)
        self.wire += worker.kill()

    # --- what must hold

    @invariant()
    def nothing_is_deleted_unless_delivered_or_dead_lettered(self) -> None:
        for message_id in self.model.deleted:
            assert self._is_accounted_for(message_id), f"{message_id} is lost"

    @invariant()
    def every_worker_keeps_the_rules(self) -> None:
        for worker in self.workers:
            self._check(worker)

    def _check(self, worker: ModelWorker) -> None:
        assert not worker.queue.settled_unheld, worker.queue.settled_unheld
        # Permits that are out stay out when longer jobs make the read-ahead smaller.
        most = worker.intake.slots + MAX_READ_AHEAD
        assert 0 <= worker.intake.in_use <= most

    @invariant()
    def every_copy_says_why_and_whether_the_consumer_knows(self) -> None:
        failed = {e.job_id for e in self.taken if e.type is EventType.FAILED}
        for message_id, copies in self.model.copies.items():
            for copy in copies:
                assert copy["error_code"] in set(ErrorCode)
                if copy["event_delivered"] == "true":
                    assert self.sent[message_id] in failed

    @invariant()
    def each_event_of_a_job_has_one_id(self) -> None:
        ids: dict[tuple[str, str], set[str]] = {}
        for event in self.taken:
            kind = orjson.loads(event.body)["type"]
            ids.setdefault((event.job_id, kind), set()).add(event.event_id)
        assert all(len(found) == 1 for found in ids.values())

    def _is_accounted_for(self, message_id: str) -> bool:
        completed = {e.job_id for e in self.taken if e.type is EventType.COMPLETED}
        return self.sent[message_id] in completed or self.model.is_dead_lettered(message_id)

    def teardown(self) -> None:
        """Without further faults every message comes to an end, and nothing is left over."""
        try:
            self._let_all_settle()
        finally:
            for worker in self.workers:
                worker.kill()
            gc.collect(0)

    def _let_all_settle(self) -> None:
        for _ in range(SETTLING_STEPS):
            if not self.model.queue and all(w.consumer.in_flight == 0 for w in self.workers):
                break
            for worker in self.workers:
                calls, worker.points.pending = worker.points.pending, []
                for call in calls:
                    call.resolve(Fate.ANSWERED)
            self._run()
            self.time_passes(1)
        assert not self.model.queue, "a message never came to an end"
        for message_id in self.sent:
            assert self._is_accounted_for(message_id)
        for worker in self.workers:
            assert worker.consumer.in_flight == 0
            assert len(worker.leases) == 0
            polling = sum(call.name == "receive" for call in worker.points.pending)
            assert worker.intake.in_use <= polling * 10
        self.every_worker_keeps_the_rules()


BOUNDED = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    # What is found is told at once: to make it small takes longer than a test may.
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A worker logs each fault, and here are thousands."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def test_no_order_of_faults_loses_a_message() -> None:
    run_state_machine_as_test(Fleet, settings=BOUNDED)


class DeletesBeforeItCopies(Settlement):
    """A settlement with its two steps the wrong way round."""

    async def _dead_letter(
        self, lease: Lease, failure: JobFailure, *, event_delivered: bool
    ) -> Any:
        await lease.message.queue.delete(lease.message)
        return await super()._dead_letter(lease, failure, event_delivered=event_delivered)


class DeletesOnLeaseLoss(Attempts):
    """An attempt that takes a lost lease for a finished job."""

    async def _after_a_cut(self, work: Any) -> str:
        if work.lease.lost_by is not None:
            await work.lease.message.queue.delete(work.lease.message)
        return await super()._after_a_cut(work)


class SettlesWithoutALook(Settlement):
    """A settlement that never asks whether the lease is still held."""

    def _must_hold(self, lease: Lease) -> None:
        pass


class DeletesInsteadOfBackingOff(Settlement):
    """A settlement that deletes what it was to back off."""

    async def _make_visible(self, lease: Lease, delay_s: float) -> Any:
        self._leases.release(lease)
        await lease.message.queue.delete(lease.message)
        return True


@pytest.mark.parametrize(
    ("attempts", "settlement"),
    [
        (Attempts, DeletesBeforeItCopies),
        (DeletesOnLeaseLoss, Settlement),
        (Attempts, SettlesWithoutALook),
        (Attempts, DeletesInsteadOfBackingOff),
    ],
    ids=["delete before copy", "delete on lease loss", "no look at the lease", "no back-off"],
)
def test_a_broken_settlement_is_caught(
    attempts: type[Attempts], settlement: type[Settlement]
) -> None:
    class Broken(Fleet):
        attempts_class = attempts
        settlement_class = settlement

    search = settings(BOUNDED, max_examples=500, report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=search)
