"""Signatures are those of AWS's own example, and those that the SDK's signer makes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.sdk_signature import sdk_authorization
from worker.sigv4 import signed_headers

# Amazon S3 API reference, "Signature Calculations for the Authorization Header", GET Object.
EXAMPLE = ReadOnlyCredentials(
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None
)
MOMENT = datetime(2013, 5, 24, tzinfo=UTC)
EARLIEST, LATEST = (datetime.fromisoformat(f"{year}-01-01") for year in (2020, 2040))


def test_the_example_of_the_reference_has_the_signature_that_it_gives() -> None:
    sent = signed_headers(
        EXAMPLE,
        service="s3",
        region="us-east-1",
        method="GET",
        host="examplebucket.s3.amazonaws.com",
        path="/test.txt",
        at=MOMENT,
        headers={"range": "bytes=0-9"},
    )
    assert sent["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


PLACE = {
    "host": st.sampled_from(["bucket.s3.eu-west-1.amazonaws.com", "127.0.0.1:9000", "[::1]:4566"]),
    "region": st.sampled_from(["us-east-1", "eu-west-1", "cn-north-1"]),
    "at": st.datetimes(timezones=st.just(UTC), min_value=EARLIEST, max_value=LATEST),
}
READS = st.fixed_dictionaries(
    PLACE
    | {
        "service": st.just("s3"),
        "method": st.just("GET"),
        "path": st.text(min_size=1, max_size=40).map(lambda key: f"/things/{quote(key, '/~')}"),
        "headers": st.just({})
        | st.fixed_dictionaries({"if-none-match": st.text("abc019-", min_size=1, max_size=34)}),
    }
)
CALLS = st.fixed_dictionaries(
    PLACE
    | {
        "service": st.just("sqs"),
        "method": st.just("POST"),
        "path": st.just("/"),
        "headers": st.just(
            {
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": "AmazonSQS.ReceiveMessage",
                "x-amzn-query-mode": "true",
            }
        ),
        "body": st.binary(max_size=40),
    }
)
KEYS = st.builds(
    ReadOnlyCredentials,
    access_key=st.just("AKID"),
    secret_key=st.text(min_size=1, max_size=40),
    token=st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=60),
)


@given(KEYS, READS | CALLS)
def test_every_signature_is_the_one_that_the_sdk_makes(
    keys: ReadOnlyCredentials, asked: dict[str, Any]
) -> None:
    assert signed_headers(keys, **asked)["Authorization"] == sdk_authorization(keys, **asked)


READ: dict[str, Any] = {
    "service": "s3", "region": "us-east-1", "method": "GET", "host": "h", "path": "/k",
}  # fmt: skip


def test_a_new_day_has_a_key_of_its_own() -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 1)]
    first, second, again = (signed_headers(EXAMPLE, at=day, **READ) for day in days)
    assert first == again
    assert first["Authorization"].rpartition("=")[2] != second["Authorization"].rpartition("=")[2]


@pytest.mark.parametrize("token", [None, "session"])
def test_no_header_holds_the_secret(token: str | None) -> None:
    keys = ReadOnlyCredentials("AKID", "s3cr3t-of-the-role", token)
    sent = signed_headers(keys, at=MOMENT, **READ)
    assert "s3cr3t" not in repr(sent)
    assert sent.get("x-amz-security-token") == token
