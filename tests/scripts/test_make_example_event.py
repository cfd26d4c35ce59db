"""The example of a completed event is one that the worker writes."""

import json
from typing import Any

import pytest

from scripts.make_example_event import EXAMPLE, TIMESTAMP, completed_event, written

SCORE_TOLERANCE = 0.5
"""Points that another processor's arithmetic may move a score by."""


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return completed_event()


def shape(value: object) -> object:
    """Names and kinds of everything in a document, without its numbers."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if isinstance(value, int | float) else value


def test_the_committed_example_is_a_scoring_of_the_committed_recording(
    made: dict[str, Any],
) -> None:
    committed = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert shape(committed) == shape(made), "write it anew: python -m scripts.make_example_event"
    old, new = committed["data"]["result"], made["data"]["result"]
    assert old["scores"] == pytest.approx(new["scores"], abs=SCORE_TOLERANCE)
    words = [(word["word"], word["status"]) for word in new["words"]]
    assert [(word["word"], word["status"]) for word in old["words"]] == words
    assert [item["code"] for item in old["feedback"]] == [item["code"] for item in new["feedback"]]


def test_the_example_shows_a_fault_that_was_heard(made: dict[str, Any]) -> None:
    assert {item["code"] for item in made["data"]["result"]["feedback"]} >= {"sound_replaced"}


def test_it_is_written_the_same_whenever_and_read_back_unchanged(made: dict[str, Any]) -> None:
    text = written(made)
    assert json.loads(text) == made
    assert made["timestamp"] == TIMESTAMP
    assert max(map(len, text.splitlines())) < 3000
