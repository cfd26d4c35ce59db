"""Every form in which a job may name an object in S3, and those that name none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.locations import LocationError, S3Location

KEY = "Heath Ledger/D7-hk46bT8I/1/textgrid.TextGrid"
KOREAN = "수업 3/민준의 녹음 (1).webm"


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        (f"s3://references/{KEY}", "references", KEY),
        (f"s3://references/{KOREAN}", "references", KOREAN),
        (f"S3://references/{KEY}", "references", KEY),
        ("s3://b.c-d/e//f/", "b.c-d", "e//f/"),
        ("s3://bucket/a?b#c%20d", "bucket", "a?b#c%20d"),
        (KEY, "default-bucket", KEY),
        (f"/{KEY}", "default-bucket", KEY),
        (KOREAN, "default-bucket", KOREAN),
        ("50% louder.wav", "default-bucket", "50% louder.wav"),
        ("https://references.s3.amazonaws.com/Heath%20Ledger/a.wav", None, "Heath Ledger/a.wav"),
        ("https://references.s3.ap-northeast-2.amazonaws.com/a/b", None, "a/b"),
        ("https://references.s3-ap-northeast-2.amazonaws.com/a/b", None, "a/b"),
        ("https://references.s3.dualstack.eu-west-1.amazonaws.com/a/b", None, "a/b"),
        ("https://references.s3-accelerate.amazonaws.com/a/b", None, "a/b"),
        ("https://references.s3.cn-north-1.amazonaws.com.cn/a/b", None, "a/b"),
        ("https://s3.amazonaws.com/references/a/b", None, "a/b"),
        ("https://s3.ap-northeast-2.amazonaws.com/references/a/b", None, "a/b"),
        ("https://s3-ap-northeast-2.amazonaws.com/references/a/b", None, "a/b"),
        ("https://s3-uploads.s3.us-east-1.amazonaws.com/a/b", "s3-uploads", "a/b"),
        ("https://s3.uploads.s3.us-east-1.amazonaws.com/a/b", "s3.uploads", "a/b"),
        ("https://s3.dualstack.us-east-1.amazonaws.com/references/a/b", None, "a/b"),
        ("HTTPS://References.S3.amazonaws.com/A/b", None, "A/b"),
        ("http://references.s3.amazonaws.com/a/b", None, "a/b"),
        ("https://references.s3.amazonaws.com:443/a/b", None, "a/b"),
        ("https://dotted.bucket.name.s3.us-east-1.amazonaws.com/a", "dotted.bucket.name", "a"),
        ("https://references.s3.amazonaws.com/a+b%2Bc%2Fd", None, "a+b+c/d"),
        ("https://references.s3.amazonaws.com/%EB%AF%BC%EC%A4%80.wav", None, "민준.wav"),
        ("https://references.s3.amazonaws.com/민준.wav", None, "민준.wav"),
        ("https://references.s3.amazonaws.com/a/b?X-Amz-Signature=secret", None, "a/b"),
        ("https://references.s3.amazonaws.com/a/../b", None, "a/../b"),
        ("s3://references/a/b?X-Amz-Algorithm=x&X-Amz-Signature=secret", None, "a/b"),
        ("s3://references/a/b?AWSAccessKeyId=x&Signature=secret", None, "a/b"),
        ("s3://references/a b?Expires=1&Signature=secret&Key-Pair-Id=K", None, "a b"),
        ("s3://references/a/b?Policy=secret&Signature=secret", None, "a/b"),
        ("s3://references/a?b=Signature", None, "a?b=Signature"),
        ("a/b?X-Amz-Signature=secret", "default-bucket", "a/b"),
        ("uploads/what://a", "default-bucket", "uploads/what://a"),
        ("s3://references/who?/me?.wav", None, "who?/me?.wav"),
    ],
)
def test_every_form_is_read(text: str, bucket: str | None, key: str) -> None:
    found = S3Location.parse(text, default_bucket="default-bucket")
    assert found == S3Location(bucket or "references", key)


def test_a_local_stack_s_urls_are_read_by_its_own_address_alone() -> None:
    url = "http://127.0.0.1:4566/bucket/a%20b"
    found = S3Location.parse(url, endpoint_url="http://127.0.0.1:4566")
    assert found == S3Location("bucket", "a b")
    for endpoint in (None, "http://127.0.0.1:4567", "http://127.0.0.1"):
        with pytest.raises(LocationError, match="not S3's"):
            S3Location.parse(url, endpoint_url=endpoint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ftp://bucket/key", "scheme 'ftp'"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("https://example.com/bucket/key", "not S3's"),
        ("https://169.254.169.254/latest/meta-data/", "not S3's"),
        ("https://s3.amazonaws.com.attacker.test/bucket/key", "not S3's"),
        ("https://attacker.test/s3.amazonaws.com/key", "not S3's"),
        ("https://s3evil.amazonaws.com/bucket/key", "not S3's"),
        ("https://bucket.s3.amazonaws.com@attacker.test/key", "not S3's"),
        ("https://xs3.amazonaws.com/bucket/key", "not S3's"),
        ("https:///key", "not S3's"),
        ("https://[::1/key", "no URL"),
        ("https://bucket.s3.amazonaws.com/%ff%fe", "not UTF-8"),
        ("s3://bucket", "no key"),
        ("s3://bucket/", "no key"),
        ("s3:///key", "no valid bucket"),
        ("s3://UPPER/key", "no valid bucket"),
        ("s3://a/key", "no valid bucket"),
        ("s3://under_score/key", "no valid bucket"),
        ("s3://a..b/key", "no valid bucket"),
        (f"s3://{'b' * 64}/key", "no valid bucket"),
        ("s3://../key", "no valid bucket"),
        ("https://s3.amazonaws.com/", "no valid bucket"),
        ("https://s3.amazonaws.com/bucket", "no key"),
        ("https://bucket.s3.amazonaws.com", "no key"),
        ("", "no key"),
        ("/", "no key"),
        ("a\nb", "control character"),
        ("s3://bucket/a\x00b", "control character"),
        ("https://bucket.s3.amazonaws.com/a%00b", "control character"),
        ("s3://bucket/" + "한" * 342, "1026 bytes"),
        ("s3://bucket/\ud800", "not valid Unicode"),
    ],
)
def test_what_names_no_object_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(LocationError, match=complaint):
        S3Location.parse(text, default_bucket="default-bucket")


def test_a_bare_key_needs_a_bucket_to_lie_in() -> None:
    with pytest.raises(LocationError, match="WORKER_DEFAULT_BUCKET"):
        S3Location.parse(KEY)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a?X-Amz-Signature=hunter2",
        "https://example.com/a#access_token=hunter2",
        "https://hunter2:hunter2@example.com/a",
        "https://anna:hunt/hunter2@example.com/a",
        "https://anna:hunter2℀@example.com/a",
        "https://[anna:hunter2@example.com/a",
        "ftp://anna:hunter2@example.com/a",
        "uploads.s3.amazonaws.com/a.wav?X-Amz-Signature=hunter2&next=https://y",
        "uploads.s3.amazonaws.com/a.wav?token=hunter2&next=x://y",
        "s3://UPPER/a?token=hunter2",
    ],
)
def test_a_refusal_shows_no_signature_and_no_password(text: str) -> None:
    with pytest.raises(LocationError) as raised:
        S3Location.parse(text)
    assert "hunter2" not in str(raised.value)


def test_a_scheme_is_shown_in_part() -> None:
    with pytest.raises(LocationError, match="the scheme 'xxxxxxxxxxxxxxxxxxxx' is unknown"):
        S3Location.parse("x" * 100 + "://a")


def test_a_key_of_1024_bytes_is_the_longest() -> None:
    assert S3Location.parse("s3://bucket/" + "k" * 1024).key == "k" * 1024


@given(
    st.text(max_size=60), st.sampled_from(["", "s3://", "https://", "https://b.s3.amazonaws.com/"])
)
def test_no_text_raises_anything_but_a_location_error(text: str, start: str) -> None:
    try:
        found = S3Location.parse(start + text, default_bucket="default-bucket")
    except LocationError:
        return
    assert found.bucket
    assert found.key
    assert S3Location.parse(str(found)) == found, "what it prints, it reads"
