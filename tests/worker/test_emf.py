from __future__ import annotations

import io
import json
from typing import Any

from worker.emf import FLUSH_INTERVAL_S, MAX_VALUES, NAMESPACE, EmfWriter


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_form_that_cloudwatch_reads() -> None:
    stream, clock = io.StringIO(), Clock()
    writer = EmfWriter(stream, clock=clock)
    writer.count("JobsSettled", 2, Outcome="completed", Code="none")
    writer.flush()
    (line,) = lines(stream)
    assert line == {
        "_aws": {
            "Timestamp": 1_800_000_000_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Outcome", "Code"]],
                    "Metrics": [{"Name": "JobsSettled", "Unit": "Count"}],
                }
            ],
        },
        "Outcome": "completed",
        "Code": "none",
        "JobsSettled": 2,
    }


def test_metrics_with_the_same_dimensions_share_a_line() -> None:
    stream = io.StringIO()
    writer = EmfWriter(stream)
    writer.count("MessagesReceived", Queue="jobs")
    writer.observe("QueueLag", 1.5, Queue="jobs")
    writer.count("MessagesReceived", Queue="urgent")
    writer.flush()
    assert [sorted(line) for line in lines(stream)] == [
        ["MessagesReceived", "Queue", "QueueLag", "_aws"],
        ["MessagesReceived", "Queue", "_aws"],
    ]


def test_sums_begin_again_and_gauges_stay() -> None:
    stream = io.StringIO()
    writer = EmfWriter(stream)
    writer.count("LeaseRenewals", 5)
    writer.gauge("Slots", 4)
    writer.flush()
    writer.flush()
    first, second = lines(stream)
    assert (first["LeaseRenewals"], first["Slots"]) == (5, 4)
    assert "LeaseRenewals" not in second
    assert second["Slots"] == 4


def test_a_line_holds_no_more_values_than_cloudwatch_takes() -> None:
    stream = io.StringIO()
    writer = EmfWriter(stream)
    for _ in range(2 * MAX_VALUES + 50):
        writer.observe("StageDuration", 0.1, Stage="score")
    writer.flush()
    assert [len(line["StageDuration"]) for line in lines(stream)] == [MAX_VALUES, MAX_VALUES, 50]


def test_numbers_are_written_once_an_interval() -> None:
    stream, clock = io.StringIO(), Clock()
    writer = EmfWriter(stream, clock=clock)
    for _ in range(10):
        writer.count("SqsCalls", Operation="DeleteMessageBatch", Result="ok")
    assert lines(stream) == []
    clock.now += FLUSH_INTERVAL_S
    writer.count("SqsCalls", Operation="DeleteMessageBatch", Result="ok")
    (line,) = lines(stream)
    assert line["SqsCalls"] == 11
