"""The consumer on virtual time: what it takes, when it is stalled, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.worker.model_worker import GRACE_S, VISIBILITY_S, WAIT_S, ModelWorker
from tests.worker.sqs_model import Clock, Fate, Pending, SqsModel, body_of
from worker.consumer import LEAST_WAIT_FOR_STALL_S, STALLED_WAIT_TIMES
from worker.contract import Event, EventType


class Stage:
    """One worker, its queue and its clock."""

    def __init__(self, clock: Clock, *, slots: int = 1) -> None:
        self.clock = clock
        self.model = SqsModel(self.clock, max_receives=3)
        self.taken: list[Event] = []
        self.worker = ModelWorker(self.model, self.taken, slots=slots)

    def send(self, count: int = 1) -> None:
        for i in range(count):
            self.model.send(body_of(f"job-{i}"))

    def calls(self, name: str | None = None) -> list[Pending]:
        return [p for p in self.worker.points.pending if name in (None, p.name)]

    def end(self, name: str, fate: Fate = Fate.ANSWERED, error: Any = None) -> None:
        """Let every call of a name that is pending now come to its end."""
        for call in self.calls(name):
            self.worker.points.pending.remove(call)
            call.resolve(fate, error)
        self.worker.loop.run_due()

    def pass_time(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while (due := self.worker.loop.next_timer()) is not None and due <= until:
            self.clock.now = max(due, self.clock.now)
            self.worker.loop.run_due()
        self.clock.now = until
        self.worker.loop.run_due()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    clock = Clock()
    monkeypatch.setattr("worker.consumer.time.monotonic", clock)
    made = Stage(clock)
    yield made
    made.worker.kill()


def test_it_asks_for_what_it_has_room_for_and_then_for_nothing(stage: Stage) -> None:
    stage.send(5)
    assert len(stage.calls("receive")) == 1
    stage.end("receive")
    assert stage.worker.consumer.in_flight == 2
    assert stage.calls("receive") == []
    stage.end("fetch")
    stage.end("score")
    # Scored: the slots are free again, though the events are still on their way.
    assert len(stage.calls("send")) == 2
    assert len(stage.calls("receive")) == 1


def test_a_delivered_job_is_deleted(stage: Stage) -> None:
    stage.send()
    for name in ("receive", "fetch", "score", "send", "delete"):
        stage.end(name)
    assert [event.type for event in stage.taken] == [EventType.COMPLETED]
    assert stage.model.deleted == {"m0"}
    assert stage.worker.consumer.in_flight == 0
    assert len(stage.worker.leases) == 0


@pytest.mark.parametrize("error", [ConnectionResetError(), KeyError("Messages"), ValueError()])
def test_no_error_of_a_receive_ends_the_polling(stage: Stage, error: Exception) -> None:
    for _ in range(6):
        stage.end("receive", Fate.NEVER_ARRIVES, error)
        assert stage.calls("receive") == []
        assert stage.worker.intake.in_use == 0
        stage.pass_time(31)
        assert len(stage.calls("receive")) == 1
    assert not stage.worker.has_ended


def test_errors_of_receives_are_waited_out_longer_and_longer(stage: Stage) -> None:
    pauses = []
    for _ in range(8):
        stage.end("receive", Fate.NEVER_ARRIVES, ConnectionResetError())
        due = stage.worker.loop.next_timer()
        assert due is not None
        pauses.append(due - stage.clock.now)
        stage.pass_time(31)
    assert 0.5 <= pauses[0] <= 1.0
    assert pauses[2] > pauses[0]
    assert 15.0 <= pauses[-1] <= 30.0


def test_it_has_stalled_when_one_receive_takes_three_wait_times(stage: Stage) -> None:
    limit = STALLED_WAIT_TIMES * max(WAIT_S, LEAST_WAIT_FOR_STALL_S)
    stage.clock.now += limit
    assert stage.worker.consumer.stalled() is None
    stage.clock.now += 1
    assert "jobs" in (stage.worker.consumer.stalled() or "")


def test_it_has_not_stalled_while_every_slot_is_taken(stage: Stage) -> None:
    stage.send(2)
    stage.end("receive")
    assert stage.calls("receive") == []
    stage.clock.now += 10_000
    assert stage.worker.consumer.stalled() is None


def test_it_has_not_stalled_while_sqs_answers_with_errors(stage: Stage) -> None:
    for _ in range(30):
        stage.end("receive", Fate.NEVER_ARRIVES, ConnectionResetError())
        assert stage.worker.consumer.stalled() is None
        stage.pass_time(31)
        assert stage.worker.consumer.stalled() is None


def test_a_job_whose_time_ran_out_is_settled_within_its_lease(stage: Stage) -> None:
    stage.send()
    stage.end("receive")
    for _ in range(400):
        stage.pass_time(1)
        stage.end("extend")
        if stage.calls("back_off"):
            break
    assert stage.worker.queue.settlements == ["back_off"]
    assert stage.worker.queue.settled_unheld == []
    stage.end("back_off")
    assert stage.worker.consumer.in_flight == 0


def test_a_lost_lease_stops_the_job_and_settles_nothing(stage: Stage) -> None:
    stage.send()
    stage.end("receive")
    stage.end("fetch")
    stage.pass_time(VISIBILITY_S + 1)
    assert stage.worker.consumer.in_flight == 0
    assert stage.worker.queue.settlements == []
    assert stage.worker.intake.in_use <= 2


def test_a_message_that_comes_back_stops_the_older_job_alone(stage: Stage) -> None:
    stage.send()
    stage.end("receive")
    stage.model.queue["m0"].visible_at = stage.clock.now
    stage.end("receive")
    assert stage.worker.consumer.in_flight == 1
    assert stage.worker.queue.settlements == []
    for name in ("fetch", "score", "send", "delete"):
        stage.end(name)
    assert stage.model.deleted == {"m0"}


def test_a_fault_in_settling_costs_no_other_job(stage: Stage) -> None:
    stage.send(2)
    stage.end("receive")
    stage.end("fetch")
    stage.end("score")
    stage.end("send")
    first, second = stage.calls("delete")
    for call in (first, second):
        stage.worker.points.pending.remove(call)
    first.resolve(Fate.NEVER_ARRIVES, ZeroDivisionError())
    second.resolve(Fate.ANSWERED)
    stage.worker.loop.run_due()
    assert stage.model.deleted == {"m1"}
    assert stage.worker.consumer.in_flight == 0
    assert len(stage.calls("receive")) == 1


def test_a_drain_waits_for_the_receive_then_hands_back_what_has_not_started(stage: Stage) -> None:
    stage.send()
    stage.worker.drain()
    assert len(stage.calls("receive")) == 1
    stage.end("receive")
    # What the last receive brought is released, and only now.
    assert stage.worker.queue.settlements == ["back_off"]
    stage.end("back_off")
    assert stage.worker.has_ended
    assert stage.model.queue["m0"].visible_at == stage.clock.now
    assert stage.worker.consumer.unsettled == 0


def test_a_drain_lets_the_started_finish_within_the_grace(stage: Stage) -> None:
    stage.send()
    stage.end("receive")
    stage.end("fetch")
    stage.worker.drain()
    stage.end("receive")
    assert stage.worker.queue.settlements == []
    for name in ("score", "send", "delete"):
        stage.end(name)
    assert stage.worker.has_ended
    assert stage.model.deleted == {"m0"}


def test_a_drain_hands_back_what_outlives_the_grace(stage: Stage) -> None:
    stage.send()
    stage.end("receive")
    stage.end("fetch")
    stage.worker.drain()
    stage.end("receive")
    for _ in range(int(GRACE_S) + 1):
        stage.pass_time(1)
        stage.end("extend")
    assert stage.worker.queue.settlements == ["back_off"]
    stage.end("back_off")
    assert stage.worker.has_ended
    assert stage.worker.consumer.unsettled == 0


def test_a_message_that_could_be_neither_settled_nor_handed_back_is_counted(
    stage: Stage,
) -> None:
    stage.send()
    stage.end("receive")
    stage.worker.drain()
    stage.end("receive")
    assert stage.worker.queue.settlements == ["back_off"]
    stage.pass_time(20)
    assert stage.worker.has_ended
    assert stage.worker.consumer.unsettled == 1


def test_a_drain_waits_no_longer_for_a_delete_than_for_a_hand_back(stage: Stage) -> None:
    stage.send()
    for name in ("receive", "fetch", "score", "send"):
        stage.end(name)
    stage.worker.drain()
    stage.end("receive")
    assert stage.worker.queue.settlements == ["delete"]
    for _ in range(int(GRACE_S) + 2):
        stage.pass_time(1)
        stage.end("extend")
    # Not handed back: it may be deleted already, and its consumer has its event.
    assert stage.worker.queue.settlements == ["delete"]
    assert not stage.worker.has_ended
    stage.pass_time(7)
    assert stage.worker.has_ended
    assert stage.worker.consumer.unsettled == 1


def test_a_delete_that_is_answered_after_the_grace_is_a_settlement(stage: Stage) -> None:
    stage.send()
    for name in ("receive", "fetch", "score", "send"):
        stage.end(name)
    stage.worker.drain()
    stage.end("receive")
    for _ in range(int(GRACE_S) + 2):
        stage.pass_time(1)
        stage.end("extend")
    stage.end("delete")
    assert stage.worker.has_ended
    assert stage.model.deleted == {"m0"}
    assert stage.worker.consumer.unsettled == 0


@pytest.mark.parametrize("error", [ConnectionResetError(), KeyError("Messages")])
def test_a_message_whose_hand_back_failed_is_counted_whatever_the_reason(
    stage: Stage, error: Exception
) -> None:
    stage.send()
    stage.end("receive")
    stage.worker.drain()
    stage.end("receive")
    stage.end("back_off", Fate.NEVER_ARRIVES, error)
    assert stage.worker.has_ended
    assert stage.worker.consumer.unsettled == 1
