"""The published schemas: in step with the code, and saying what the worker really takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from worker.audio_analysis import AudioAnalysis
from worker.contract import (
    Addressee,
    AnalysisJob,
    EventError,
    EventType,
    ResultEvent,
    build_event,
    prune,
)
from worker.failures import CODES, ErrorCode, JobFailure
from worker.schemas import schema_of

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
EXAMPLES = sorted((SCHEMAS / "examples").glob("*.json"))
JOB = {"job_id": "take-42", "s3_audio_url": "s3://b/k", "webhook_url": "https://x.example/"}


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        schema_of(name), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def example(name: str) -> Any:
    return load(SCHEMAS / "examples" / f"{name}.json")


@pytest.mark.parametrize("name", ["job", "event", "result"])
def test_the_published_schema_is_what_the_code_says(name: str) -> None:
    published = load(SCHEMAS / f"{name}.schema.json")
    assert published == schema_of(name), (
        f"write it anew: analysis-worker schema {name} > docs/schemas/{name}.schema.json"
    )


@pytest.mark.parametrize("name", ["job", "event", "result"])
def test_a_schema_is_a_schema_with_a_name(name: str) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:analysis-worker:{name}:1"
    assert next(iter(schema)) == "$schema"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_fits_its_schema_and_its_model(path: Path) -> None:
    document = load(path)
    name = path.name.split(".")[0]
    validator(name).validate(document)
    if name == "job":
        AnalysisJob.parse(json.dumps(document))
    else:
        ResultEvent.model_validate(document)


def test_there_is_an_example_of_each_event_and_generation() -> None:
    assert {path.stem for path in EXAMPLES} >= {
        "job.timed-reference",
        "job.text-alone",
        "job.older-names",
        "event.progress",
        "event.completed",
        "event.failed",
    }


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"webhook_url": None},
        {"webhook_url": ""},
        {"webhook_url": "x" * 4097},
        {"webhook_url": 5},
        {"text": None, "s3_textgrid_url": None, "s3_pitch_url": None},
        {"webhook_url": None, "callback_url": "https://x.example/"},
        {"video_id": 7},
        {"video_id": "7"},
        {"token_id": 7},
        {"video_id": 2**64 - 1},
        {"video_id": 2**64},
        {"video_id": -(2**63) - 1},
        {"token_id": 1e30},
        {"metadata": None},
        {"metadata": {"a": 1, "b": "x", "c": None, "d": True, "e": 1.5}},
        {"metadata": {"a": []}},
        {"metadata": {"a": 2**64 - 1, "b": -(2**63)}},
        {"metadata": {"a": 2**64}},
        {"metadata": {"a": -(2**63) - 1}},
        {"metadata": {"a": 1e30}},
        {"metadata": {"a": 1e-30}},
        {"metadata": []},
        {"progress": True},
        {"progress": 1},
        {"text": "x" * 2000},
        {"text": "x" * 2001},
        {"video_id": "x" * 257},
        {"video_id": []},
        {"timestamp": 1.5, "source": {"any": "thing"}},
        {"unknown": {"to": ["us"]}},
        {"job_id": None},
        {"job_id": ""},
        {"job_id": "x" * 128},
        {"job_id": "x" * 129},
        {"job_id": "take 42"},
        {"job_id": 42},
        {"s3_audio_url": None},
        {"s3_audio_url": ""},
        {"s3_audio_url": "x" * 4097},
        {"s3_textgrid_url": 1},
    ],
    ids=str,
)
def test_the_schema_takes_a_job_if_and_only_if_the_worker_does(change: dict[str, Any]) -> None:
    job = JOB | change
    try:
        AnalysisJob.parse(json.dumps(job))
        is_taken = True
    except JobFailure:
        is_taken = False
    assert validator("job").is_valid(job) == is_taken


def test_the_older_names_are_published_as_such() -> None:
    properties = schema_of("job")["properties"]
    assert properties["callback_url"]["deprecated"]
    assert properties["token_id"]["deprecated"]


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_event_of_each_error_code_fits_the_schema(code: ErrorCode) -> None:
    failure = JobFailure(code, "What happened.")
    if code is ErrorCode.RETRIES_EXHAUSTED:
        failure = JobFailure(ErrorCode.WEBHOOK_UNAVAILABLE, "What happened.").exhausted()
    event = build_event(
        EventType.FAILED,
        Addressee("take-42", None, 7, {"a": 1}),
        attempt=3,
        progress=100,
        message="What happened.",
        error=EventError.of(failure),
    )
    validator("event").validate(json.loads(event.body))


def test_an_event_without_its_bulky_parts_fits_the_schema() -> None:
    event = example("event.completed")
    short = json.loads(prune(json.dumps(event).encode(), ["data", "result"], AudioAnalysis.bulky))
    assert "phones" not in short["data"]["result"]["words"][0]
    assert "contours" not in short["data"]["result"]["pitch"]
    assert "waveform" not in short["data"]["result"]["audio"]
    validator("event").validate(short)


def test_a_whole_result_has_all_its_parts() -> None:
    result = example("event.completed")["data"]["result"]
    validator("result").validate(result)
    del result["words"][0]["phones"]
    assert not validator("result").is_valid(result)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("event.completed", ["data", "status"], "failed"),
        ("event.completed", ["data", "progress"], 99),
        ("event.completed", ["data", "result"], None),
        ("event.completed", ["data", "result", "scores", "overall"], 101),
        ("event.completed", ["timestamp"], "yesterday"),
        ("event.failed", ["data", "error"], None),
        ("event.failed", ["data", "error", "code"], "no_such_code"),
        ("event.progress", ["data", "progress"], 100),
        ("event.progress", ["data", "job_id"], "no spaces"),
        ("event.progress", ["type"], "analysis.paused"),
    ],
)
def test_an_event_that_contradicts_itself_does_not_fit(
    name: str, path: list[str], value: object
) -> None:
    event = example(name)
    node = event
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert not validator("event").is_valid(event)


def test_events_may_gain_fields_within_a_version() -> None:
    event = example("event.completed")
    event["new"] = event["data"]["new"] = event["data"]["result"]["new"] = {"a": 1}
    event["data"]["result"]["words"][0]["new"] = 1
    validator("event").validate(event)
    ResultEvent.model_validate(event)


def test_the_table_of_errors_has_every_code_with_advice() -> None:
    table = schema_of("errors")
    assert set(table) == {code.value for code in CODES}
    assert all(entry["advice"].endswith(".") for entry in table.values())


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        schema_of("weather")
