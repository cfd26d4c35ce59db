"""What the comparison of fleets makes of its runs: ratios, bills, and the bounds on them."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from scripts.bench import bill, ceiling, fleet, fleet_run, sqs_server
from scripts.bench.figure import Bound, Figure
from scripts.bench.fleet_run import Run, Stand
from scripts.bench.load_inbox import Count, InboxClient
from scripts.bench.systems import OURS, SYSTEM, System

JOBS = 100
RATES = {(OURS, 1): 300.0, ("slow", 1): 100.0, (OURS, 2): 400.0, ("slow", 2): 500.0}
BILLS = {
    ("http://sqs", OURS): {"ReceiveMessage": 150, "DeleteMessageBatch": 100},
    ("http://sqs", "slow"): {"ReceiveMessage": 240},
    ("http://paced", OURS): {"ReceiveMessage": 500},
    ("http://paced", "slow"): {"ReceiveMessage": 500},
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures of two systems whose rates and bills are known."""
    on = Stand("pretended", "http://sqs", "http://s3", InboxClient("http://inbox"), Path())
    slow = System("slow", lambda place, processes: [], lambda place, jobs: [])

    def throughput(on: Stand, system: System, *, processes: int, jobs: int) -> Run:
        took_s = (jobs - 10) / RATES[system.name, processes]
        return Run(Count(jobs, jobs, 0, 280, untimed=10, took_s=took_s), 2.0)

    def counted(on: Stand, system: System, *, jobs: int) -> dict[str, int]:
        return BILLS[on.sqs, system.name]

    monkeypatch.setattr(fleet, "SYSTEMS", {OURS: SYSTEM, "slow": slow})
    monkeypatch.setattr(fleet_run, "stand", lambda folder: nullcontext(on))
    monkeypatch.setattr(fleet_run, "throughput", throughput)
    monkeypatch.setattr(bill, "of_a_full_queue", counted)
    monkeypatch.setattr(bill, "of_coming_jobs", counted)
    monkeypatch.setattr(sqs_server, "running", lambda name, folder: nullcontext("http://paced"))
    monkeypatch.setattr(ceiling, "in_tens", lambda address, messages: 4000.0)
    monkeypatch.setattr(ceiling, "one_by_one", lambda address, messages: 1000.0)
    return {figure.name: figure for figure in fleet.measure(3, jobs=JOBS, progress=lambda _: None)}


def test_ours_is_held_to_be_faster_than_each_with_as_many_processes(
    figures: dict[str, Figure],
) -> None:
    one = figures["jobs/s of ours over slow, 1 process"]
    two = figures["jobs/s of ours over slow, 2 processes"]
    assert one.value == pytest.approx(3.0)
    assert (one.unit, one.bound, one.is_met) == ("×", Bound(">=", 1.0), True)
    assert two.value == pytest.approx(0.8)
    assert not two.is_met


def test_the_bill_of_ours_is_held_to_the_lowest_of_the_others(figures: dict[str, Figure]) -> None:
    ours = figures["ours: SQS requests"]
    assert (ours.value, ours.bound, ours.is_met) == (250.0, Bound("<=", 240.0), False)
    assert figures["slow: SQS requests"].value == 240.0


def test_of_jobs_that_keep_coming_ours_is_to_take_fewer_requests_than_each(
    figures: dict[str, Figure],
) -> None:
    ours = figures["ours: SQS requests at 50 jobs/s"]
    assert (ours.value, ours.bound, ours.is_met) == (1000.0, Bound("<", 1000.0), False)


def test_the_ceiling_of_the_server_stands_beside_the_results(figures: dict[str, Figure]) -> None:
    assert figures["pretended, received and deleted in tens"].value == 4000.0
    assert figures["pretended, received and deleted one by one"].value == 1000.0


def test_every_figure_has_a_name_of_its_own(figures: dict[str, Figure]) -> None:
    assert len(figures) == 2 + 4 + 4 + 2 + 2 + 2
