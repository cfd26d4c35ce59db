from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
import yarl
from hypothesis import given
from hypothesis import strategies as st

from worker import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.clear()
    yield
    logs.clear()
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in logs.OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def stream() -> io.StringIO:
    made = io.StringIO()
    logs.setup("INFO", "json", stream=made)
    return made


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = lines(stream)
    return line


def test_an_event_is_one_line_with_the_bound_fields(stream: io.StringIO) -> None:
    with logs.bound(job_id="take-42", message_id="m-1", receive_count=2):
        logs.get_logger("worker.pipeline").info("job_settled", stage="deliver", duration_ms=12)
    line = only_line(stream)
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "job_settled",
        "logger": "worker.pipeline",
        "job_id": "take-42",
        "message_id": "m-1",
        "receive_count": 2,
        "stage": "deliver",
        "duration_ms": 12,
    }


def test_who_and_what_stand_first_in_a_line(stream: io.StringIO) -> None:
    logs.bind(job_id="take-42")
    logs.get_logger().info("polled", zebra=1)
    assert list(only_line(stream))[:4] == ["timestamp", "level", "event", "logger"]


def test_fields_bound_in_one_task_are_not_in_another(stream: io.StringIO) -> None:
    with logs.bound(job_id="a"):
        pass
    logs.get_logger().info("after")
    assert "job_id" not in only_line(stream)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://b.s3.amazonaws.com/k?X-Amz-Signature=abc", "https://b.s3.amazonaws.com/k"),
        ("see https://h/x?a=1&b=2, then", "see https://h/x then"),
        ("https://user:pass@h/x", "https://h/x"),
        ("s3://bucket/Heath Ledger/a.wav", "s3://bucket/Heath Ledger/a.wav"),
        ("key whsec_C2FtcGxlLXNhbXBsZQ==", "key whsec_…"),
        ("Is this a question?", "Is this a question?"),
        ("https://user:p/w@h/x and https://user:p@ss@h/x", "https://h/x and https://h/x"),
        (
            "s3://b/Heath Ledger/D7.wav?Expires=1&Signature=abc (x)",
            "s3://b/Heath Ledger/D7.wav (x)",
        ),
        ("s3://b/Heath Ledger/D7?X-Amz-Signature=abc", "s3://b/Heath Ledger/D7"),
        ("b.s3.amazonaws.com/a.wav?X-Amz-Signature=abc&to=x://y", "b.s3.amazonaws.com/a.wav"),
        ("/hooks/x?a=1&access_token=abc", "/hooks/x?a=1"),
        ("https%3A%2F%2Fh%2Fx%3FX-Amz-Signature%3Dabc", "https%3A%2F%2Fh%2Fx"),
        ("https://h/x?a='1&X-Amz-Signature=abc", "https://h/x'1"),
        ("what?design=1&monkey=2", "what?design=1&monkey=2"),
    ],
)
def test_what_could_be_used_is_not_in_the_log(stream: io.StringIO, text: str, shown: str) -> None:
    logs.get_logger().info("seen", url=text, nested={"list": [text]})
    line = only_line(stream)
    assert line["url"] == shown
    assert line["nested"] == {"list": [shown]}


@pytest.mark.parametrize(
    "value",
    [
        yarl.URL("https://anna:hunter2@h/x?sig=hunter2"),
        b"https://h/x?sig=hunter2",
        {"https://h/x?sig=hunter2"},
        {"https://h/x?sig=hunter2": 1},
        ValueError("whsec_hunter2"),
        [(ValueError("https://h/x?token=hunter2"),)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_value_is_what_could_be_used_of_it_is_not_in_the_log(
    stream: io.StringIO, value: object
) -> None:
    logs.get_logger().info("seen", value=value)
    logging.getLogger("aiohttp").warning("seen %s", value)
    assert len(lines(stream)) == 2
    assert "hunter2" not in stream.getvalue()


def test_a_value_without_a_secret_is_written_as_ever(stream: io.StringIO) -> None:
    when = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    logs.get_logger().info("seen", when=when, path=Path("/a"), some={1}, raw=b"ok")
    line = only_line(stream)
    assert line["when"] == "2026-03-01T09:30:00+00:00"
    assert (line["path"], line["some"], line["raw"]) == ("/a", "{1}", "b'ok'")


def test_an_exception_is_data_without_local_variables(stream: io.StringIO) -> None:
    secret = "local-value-nobody-should-see"  # noqa: F841
    try:
        raise ValueError("https://h/x?token=1 is wrong")
    except ValueError:
        logs.get_logger().exception("job_failed")
    line = only_line(stream)
    (error,) = line["exception"]
    assert error["exc_type"] == "ValueError"
    assert error["exc_value"] == "https://h/x is wrong"
    assert error["frames"][-1]["name"] == "test_an_exception_is_data_without_local_variables"
    assert "local-value" not in stream.getvalue()


def test_a_group_of_exceptions_keeps_its_parts(stream: io.StringIO) -> None:
    try:
        raise ExceptionGroup("two", [ValueError("one"), KeyError("two")])
    except ExceptionGroup:
        logs.get_logger().exception("failed")
    (error,) = only_line(stream)["exception"]
    assert [chain[0]["exc_type"] for chain in error["exceptions"]] == ["ValueError", "KeyError"]


def test_no_line_is_longer_than_8_kb(stream: io.StringIO) -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("x" * 50_000)
        deep(n - 1)

    log = logs.get_logger()
    log.info("long", text="é" * 20_000, job_id="take-42")
    log.info("wide", **{f"field_{n}": "y" * 500 for n in range(100)}, job_id="take-42")
    log.info("listed", items=[{"a": "z" * 300}] * 500, job_id="take-42")
    try:
        deep(200)
    except ValueError:
        log.exception("deep", job_id="take-42")
    written = stream.getvalue().encode().splitlines()
    assert [len(line) <= logs.MAX_LINE_BYTES for line in written] == [True] * 4
    for line in lines(stream):
        assert line["cut"] is True
        assert line["job_id"] == "take-42"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=json_values, text=st.text())
def test_whatever_is_logged_is_one_line_of_json(value: object, text: str) -> None:
    stream = io.StringIO()
    logs.setup("INFO", "json", stream=stream)
    logs.get_logger().info("any", value=value, text=text)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert json.loads(written)["event"] == "any"


def test_lone_surrogates_and_huge_numbers_do_not_cost_the_line(stream: io.StringIO) -> None:
    logs.get_logger().info("odd", text="\ud800", number=2**70)
    assert only_line(stream)["event"] == "odd"


def test_a_value_that_cannot_be_shown_does_not_cost_the_line(stream: io.StringIO) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

        def __repr__(self) -> str:  # what pytest's own handler shows
            return "Broken()"

    logs.get_logger().info("odd", thing=Broken())
    assert only_line(stream)["thing"] == "<Broken>"


def test_libraries_speak_through_the_same_lines_from_warning_on(stream: io.StringIO) -> None:
    for name in ("botocore.hooks", "httpx", "aiohttp.access", "asyncio"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("retry %s", "https://h/x?sig=1")
    assert [(line["logger"], line["event"]) for line in lines(stream)] == [
        (name, "retry https://h/x")
        for name in ("botocore.hooks", "httpx", "aiohttp.access", "asyncio")
    ]


def test_a_librarys_exception_is_data_too(stream: io.StringIO) -> None:
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    line = only_line(stream)
    assert line["level"] == "error"
    assert line["exception"][0]["exc_type"] == "KeyError"


def test_pythons_warnings_are_lines_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert only_line(stream)["logger"] == "py.warnings"


def test_the_level_can_be_changed_while_running(stream: io.StringIO) -> None:
    log = logs.get_logger("worker.consumer")
    log.debug("one")
    logs.set_level("DEBUG")
    log.debug("two")
    logs.set_level("ERROR")
    log.warning("three")
    assert [line["event"] for line in lines(stream)] == ["two"]


def test_console_lines_are_readable() -> None:
    stream = io.StringIO()
    logs.setup("INFO", "console", stream=stream)
    try:
        raise ValueError("bad tier")
    except ValueError:
        logs.get_logger("worker.x").exception("job_failed", job_id="take-42")
    (line,) = stream.getvalue().splitlines()
    assert "job_failed" in line
    assert "job_id=take-42" in line
    assert "ValueError: bad tier" in line
    assert "test_logs.py" in line
