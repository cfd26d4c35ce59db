"""The message as producers write it, and the event as consumers read it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.contract import (
    MAX_METADATA_BYTES,
    Addressee,
    AnalysisJob,
    EventError,
    EventType,
    ResultEvent,
    build_event,
    event_id_of,
    prune,
)
from worker.failures import ErrorCode, JobFailure

JOB = {
    "job_id": "take-42",
    "s3_audio_url": "s3://uploads/take-42.webm",
    "webhook_url": "https://api.example.com/hooks/analysis",
    "video_id": "D7-hk46bT8I",
}


def parse(**fields: Any) -> AnalysisJob:
    return AnalysisJob.parse(json.dumps(JOB | fields))


def refusal(body: str | bytes) -> JobFailure:
    with pytest.raises(JobFailure) as raised:
        AnalysisJob.parse(body)
    return raised.value


# --- messages


def test_both_generations_of_names_are_read() -> None:
    older = {
        "job_id": "17",
        "s3_audio_url": "a.wav",
        "callback_url": "https://api.example.com/x",
        "token_id": 17,
    }
    job = AnalysisJob.parse(json.dumps(older))
    assert job.webhook_url == "https://api.example.com/x"
    assert job.video_id == 17


@pytest.mark.parametrize("newer", [None, "", "  "])
def test_an_older_name_counts_where_the_newer_one_is_empty(newer: str | None) -> None:
    job = parse(webhook_url=newer, callback_url="https://old.example/", video_id=newer, token_id=9)
    assert job.webhook_url == "https://old.example/"
    assert job.video_id == 9


def test_the_newer_name_wins_where_both_are_given() -> None:
    job = parse(callback_url="https://old.example/", token_id=9)
    assert job.webhook_url == JOB["webhook_url"]
    assert job.video_id == JOB["video_id"]


@pytest.mark.parametrize("field", ["webhook_url", "s3_textgrid_url", "s3_pitch_url", "text"])
@pytest.mark.parametrize("empty", [None, "", " \t"])
def test_an_empty_field_is_an_absent_one(field: str, empty: str | None) -> None:
    assert getattr(parse(**{field: empty}), field) is None


def test_unknown_fields_are_ignored_and_known_ones_for_people_are_not_judged() -> None:
    parse(dialect="Seoul", nested={"a": [1]}, timestamp={"odd": 1}, source=["x"])


@pytest.mark.parametrize(
    ("given_id", "read"), [("7", "7"), (7, 7), (7.0, 7), (None, None), ("", None), (0, 0)]
)
def test_a_video_id_is_text_or_a_number(given_id: object, read: object) -> None:
    assert parse(video_id=given_id).video_id == read


@pytest.mark.parametrize("number", ["18446744073709551615", "-9223372036854775808"])
def test_whole_numbers_of_64_bits_are_echoed_to_the_digit(number: str) -> None:
    body = json.dumps(JOB)[:-1] + f', "video_id": {number}, "metadata": {{"a": {number}}}}}'
    event = build_event(
        EventType.FAILED, Addressee.salvage(body), attempt=1, progress=100, message="Failed."
    )
    assert json.loads(event.body)["data"]["video_id"] == int(number)
    assert json.loads(event.body)["data"]["metadata"] == {"a": int(number)}


@pytest.mark.parametrize(
    "number",
    [
        "9007199254740993.0",
        "1e30",
        "-1e300",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
    ],
)
def test_a_number_that_would_not_come_back_the_same_is_to_be_sent_as_text(number: str) -> None:
    body = json.dumps(JOB)[:-1] + f', "video_id": {number}}}'
    assert "send it as text" in refusal(body).message
    told = Addressee.salvage(body)
    assert (told.job_id, told.video_id) == ("take-42", None)
    build_event(EventType.FAILED, told, attempt=1, progress=100, message="Failed.")


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"]
)
def test_metadata_holds_no_number_that_would_not_come_back_the_same(number: str) -> None:
    body = json.dumps(JOB)[:-1] + f', "metadata": {{"a": {number}}}}}'
    assert "send it as text" in refusal(body).message
    assert Addressee.salvage(body).metadata is None


def test_a_producer_s_own_number_beyond_64_bits_is_refused_like_any_other() -> None:
    for fields in ({"video_id": 2**64}, {"metadata": {"a": -(2**63) - 1}}):
        with pytest.raises(ValidationError, match="send it as text"):
            AnalysisJob.model_validate(JOB | fields)


@pytest.mark.parametrize("body", ["안녕", '"text"', "[]", "null", "3", "{", "", b"\xff\xfe", "NaN"])
def test_what_is_no_json_object_is_invalid_json(body: str | bytes) -> None:
    assert refusal(body).code is ErrorCode.INVALID_JSON


def test_a_bottomless_message_is_refused_and_not_a_crash() -> None:
    assert refusal("[" * 100_000).code is ErrorCode.INVALID_JSON
    deep = '{"a":' * 5_000 + "1" + "}" * 5_000
    assert refusal(deep).code in (ErrorCode.INVALID_JSON, ErrorCode.INVALID_MESSAGE)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"job_id": None}, "job_id"),
        ({"job_id": "a b"}, "job_id"),
        ({"job_id": "a.b"}, "job_id"),
        ({"job_id": "../x"}, "job_id"),
        ({"job_id": "take-42\n"}, "job_id"),
        ({"job_id": "한국"}, "job_id"),
        ({"job_id": 42}, "job_id"),
        ({"s3_audio_url": ""}, "s3_audio_url"),
        ({"s3_audio_url": ["s3://a/b"]}, "s3_audio_url"),
        ({"webhook_url": "x" * 4097}, "webhook_url"),
        ({"text": "x" * 2001}, "text"),
        ({"video_id": "x" * 257}, "video_id"),
        ({"video_id": True}, "video_id"),
        ({"video_id": 1.5}, "video_id"),
        ({"progress": "true"}, "progress"),
        ({"metadata": [1]}, "metadata"),
        ({"metadata": {"a": {"b": 1}}}, "metadata"),
        ({"metadata": {"a": "안" * 2000}}, "metadata"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not_shown(
    fields: dict[str, Any], named: str
) -> None:
    failure = refusal(json.dumps(JOB | fields))
    assert failure.code is ErrorCode.INVALID_MESSAGE
    assert named in failure.message
    assert "xxxx" not in failure.message
    assert len(failure.message) <= 1000


def test_neither_keys_nor_values_of_the_metadata_are_shown() -> None:
    for value in ([1], {"x": 1}, 2**80):
        message = refusal(json.dumps(JOB | {"metadata": {"anna@example.com": value}})).message
        assert message.startswith("The message is not valid: metadata: ")
        assert "anna" not in message


def test_a_refusal_says_everything_once() -> None:
    message = refusal(
        json.dumps(JOB | {"metadata": {key: [] for key in "abcdef"}, "text": 1})
    ).message
    assert message.count("metadata: Input should be a valid string") == 1
    assert "text: " in message


def test_metadata_may_be_4096_bytes_and_no_more() -> None:
    padding = MAX_METADATA_BYTES - len(orjson.dumps({"k": ""}))
    assert parse(metadata={"k": "x" * padding}).metadata["k"] == "x" * padding
    with pytest.raises(JobFailure, match="4097 bytes"):
        parse(metadata={"k": "x" * (padding + 1)})


@given(
    st.dictionaries(
        st.sampled_from([*JOB, "callback_url", "token_id", "metadata", "progress", "text"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_no_object_makes_the_reader_raise_anything_but_its_refusal(fields: dict[str, Any]) -> None:
    body = json.dumps(JOB | fields)
    Addressee.salvage(body)
    try:
        AnalysisJob.parse(body)
    except JobFailure as failure:
        assert failure.code in (ErrorCode.INVALID_JSON, ErrorCode.INVALID_MESSAGE)  # noqa: PT017


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_raise_anything_but_its_refusal(body: bytes) -> None:
    assert Addressee.salvage(body) is not None
    try:
        AnalysisJob.parse(body)
    except JobFailure:
        pass
    else:
        raise AssertionError("random bytes are no job")


# --- whom to tell of a message that is not valid


def test_whom_to_tell_is_read_from_a_message_that_is_not_valid() -> None:
    body = json.dumps({"job_id": "take-42", "callback_url": "https://x.example/", "token_id": 7})
    assert Addressee.salvage(body) == Addressee("take-42", "https://x.example/", 7)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        '{"job_id": 5, "webhook_url": 5, "video_id": [1], "metadata": "x"}',
        '{"job_id": "no spaces", "webhook_url": null, "video_id": true}',
    ],
)
def test_what_cannot_be_used_of_it_is_left_out(body: str) -> None:
    assert Addressee.salvage(body) == Addressee()


@pytest.mark.parametrize(
    "fields",
    [
        {"webhook_url": "  ", "callback_url": "https://x.example/"},
        {"webhook_url": " ", "callback_url": "\t"},
        {"video_id": 7.0},
        {"video_id": " ", "token_id": 8},
        {"metadata": {"class": "3b"}},
    ],
)
def test_a_valid_message_and_what_is_left_of_a_broken_one_name_the_same_addressee(
    fields: dict[str, Any],
) -> None:
    whole = {"metadata": {"a": 1}, **JOB, **fields}
    broken = {key: value for key, value in whole.items() if key != "s3_audio_url"}
    known = Addressee.of(AnalysisJob.parse(json.dumps(whole)))
    assert Addressee.salvage(json.dumps(whole)) == known
    assert Addressee.salvage(json.dumps(broken)) == known


# --- events


def completed(result: bytes) -> dict[str, Any]:
    event = build_event(
        EventType.COMPLETED,
        Addressee.of(parse(metadata={"반": "3b"})),
        attempt=2,
        progress=100,
        message="Analysis completed.",
        result=result,
        result_location="s3://results/take-42.json",
    )
    found: dict[str, Any] = json.loads(event.body)
    return found


def test_an_event_says_whose_it_is_and_carries_the_result_unchanged() -> None:
    event = completed(b'{"scores": {"overall": 81.25}, "note": "\\u00e9"}')
    ResultEvent.model_validate(event)
    assert event["type"] == "analysis.completed"
    assert event["timestamp"].endswith("Z")
    assert event["data"] == {
        "schema_version": "1.0",
        "job_id": "take-42",
        "video_id": "D7-hk46bT8I",
        "status": "completed",
        "progress": 100,
        "message": "Analysis completed.",
        "attempt": 2,
        "metadata": {"반": "3b"},
        "result": {"scores": {"overall": 81.25}, "note": "é"},
        "result_location": "s3://results/take-42.json",
    }


def test_an_error_says_what_to_do_and_what_was_behind_it() -> None:
    failure = JobFailure(ErrorCode.WEBHOOK_UNAVAILABLE, "It did not answer.").exhausted()
    error = EventError.of(failure)
    assert error.code is ErrorCode.RETRIES_EXHAUSTED
    assert error.cause is ErrorCode.WEBHOOK_UNAVAILABLE
    assert error.retryable
    assert not EventError.of(JobFailure(ErrorCode.AUDIO_EMPTY, "Empty.")).retryable


def test_the_same_event_has_the_same_id_and_any_other_another() -> None:
    ids = [
        event_id_of("a", EventType.COMPLETED),
        event_id_of("a", EventType.FAILED),
        event_id_of("b", EventType.COMPLETED),
        event_id_of("a", EventType.PROGRESS, 10),
        event_id_of("a", EventType.PROGRESS, 40),
    ]
    assert len(set(ids)) == len(ids)
    assert ids[0] == event_id_of("a", EventType.COMPLETED)
    assert all("." not in event_id and len(event_id) <= 64 for event_id in ids)


def test_ids_stay_the_same_from_release_to_release() -> None:
    """A worker of the next version must not make a consumer take a repeat for something new."""
    assert event_id_of("take-42", EventType.COMPLETED) == "evt_f83bfa55f19a9071871cf6bb2398460c"
    assert event_id_of("take-42", EventType.PROGRESS, 10) == "evt_e8bd1ef69f04a465bafd34608aeae16d"


def test_parts_are_taken_out_by_their_paths_and_nothing_else() -> None:
    body = orjson.dumps({"a": {"list": [{"x": 1, "y": 2}, {"y": 3}], "b": {"c": 1, "d": 2}}})
    pruned = orjson.loads(prune(body, ["a"], ["list.*.x", "b.c", "not.there", "list.x"]))
    assert pruned == {"a": {"list": [{"y": 2}, {"y": 3}], "b": {"d": 2}}}
