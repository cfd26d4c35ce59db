"""The one classifier: what is permanent, what is tried again, and how often."""

from __future__ import annotations

import httpx
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from worker.failures import (
    CODES,
    MAX_RECEIVES_OF_A_LOST_PROCESS,
    ErrorCode,
    JobFailure,
    Policy,
    classify,
    has_attempts_left,
)


def client_error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetObject",
    )


def test_every_code_has_a_stage_a_policy_and_a_word_of_advice() -> None:
    assert set(CODES) == set(ErrorCode)
    for info in CODES.values():
        assert info.advice.endswith(".")
        assert len(info.advice) > 20


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchKey", 404, ErrorCode.NOT_FOUND),
        ("NoSuchBucket", 404, ErrorCode.NOT_FOUND),
        ("404", 404, ErrorCode.NOT_FOUND),
        ("AccessDenied", 403, ErrorCode.ACCESS_DENIED),
        ("KMS.DisabledException", 403, ErrorCode.ACCESS_DENIED),
        ("ExpiredToken", 400, ErrorCode.CREDENTIALS_EXPIRED),
        ("ExpiredTokenException", 403, ErrorCode.CREDENTIALS_EXPIRED),
        ("InvalidClientTokenId", 403, ErrorCode.CREDENTIALS_EXPIRED),
        ("RequestTimeTooSkewed", 403, ErrorCode.CREDENTIALS_EXPIRED),
        ("SlowDown", 503, ErrorCode.STORAGE_UNAVAILABLE),
        ("InternalError", 500, ErrorCode.STORAGE_UNAVAILABLE),
        ("RequestTimeout", 400, ErrorCode.STORAGE_UNAVAILABLE),
        ("", 0, ErrorCode.STORAGE_UNAVAILABLE),
    ],
)
def test_what_aws_answers_is_classified(code: str, status: int, expected: ErrorCode) -> None:
    assert classify(client_error(code, status), what="recording s3://b/k").code is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (boto.NoCredentialsError(), ErrorCode.CREDENTIALS_EXPIRED),
        (
            boto.CredentialRetrievalError(provider="container-role", error_msg="x"),
            ErrorCode.CREDENTIALS_EXPIRED,
        ),
        (boto.EndpointConnectionError(endpoint_url="x"), ErrorCode.STORAGE_UNAVAILABLE),
        (boto.ReadTimeoutError(endpoint_url="x"), ErrorCode.STORAGE_UNAVAILABLE),
        (ConnectionResetError(), ErrorCode.STORAGE_UNAVAILABLE),
        (httpx.ConnectError("x"), ErrorCode.WEBHOOK_UNAVAILABLE),
        (TimeoutError(), ErrorCode.JOB_TIMEOUT),
        (ZeroDivisionError(), ErrorCode.INTERNAL_ERROR),
        (MemoryError(), ErrorCode.INTERNAL_ERROR),
    ],
)
def test_what_is_raised_is_classified(error: Exception, expected: ErrorCode) -> None:
    failure = classify(error)
    assert failure.code is expected
    assert failure.retryable


def test_a_failure_that_is_one_already_passes_through() -> None:
    failure = JobFailure(ErrorCode.AUDIO_EMPTY, "nothing")
    assert classify(failure) is failure


def test_a_message_tells_the_thing_and_no_detail_of_the_exception() -> None:
    said = classify(RuntimeError("https://signed?X-Amz-Signature=secret"), what="job 7").message
    assert "job 7" in said
    assert "secret" not in said


@pytest.mark.parametrize("code", ErrorCode)
def test_permanent_failures_are_never_retryable_and_the_last_of_the_others_is_final(
    code: ErrorCode,
) -> None:
    failure = JobFailure(code, "x")
    policy = CODES[code].policy
    assert failure.retryable is (policy in (Policy.RETRY, Policy.RETRY_LIMITED))
    last = failure.exhausted()
    assert last.code is ErrorCode.RETRIES_EXHAUSTED
    assert last.cause is code
    assert last.stage is failure.stage
    assert not last.retryable


def test_attempts_are_those_of_the_queue_and_three_for_a_lost_process() -> None:
    usual = JobFailure(ErrorCode.STORAGE_UNAVAILABLE, "x")
    lost = JobFailure(ErrorCode.WORKER_LOST, "x")

    def left(failure: JobFailure, count: int, most: int | None) -> bool:
        return has_attempts_left(failure, receive_count=count, max_receives=most)

    assert [left(usual, count, 5) for count in (1, 4, 5, 6)] == [True, True, False, False]
    assert [left(lost, count, 5) for count in (1, 2, 3)] == [True, True, False]
    assert not left(lost, 2, 2)
    assert left(usual, 1000, None)
    assert not left(lost, MAX_RECEIVES_OF_A_LOST_PROCESS, None)
