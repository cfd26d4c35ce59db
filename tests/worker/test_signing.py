"""Signatures: read by the reference library, and keys that show themselves nowhere."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook

from worker.signing import KeyFormatError, SigningKey, parse_keys, signed_headers

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()


def test_the_specification_s_own_example_is_reproduced() -> None:
    """The test vector that the Standard Webhooks libraries share."""
    headers = signed_headers(
        parse_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_time_in_another_zone_is_the_same_time() -> None:
    now = datetime.now(UTC)
    seoul = now.astimezone(timezone(timedelta(hours=9)))
    keys = parse_keys(SECRET)
    assert signed_headers(keys, "evt_1", now, b"{}") == signed_headers(keys, "evt_1", seoul, b"{}")


@pytest.mark.parametrize("body", [b"{}", "안녕 – 😀".encode(), b"", b" \n"])
def test_the_reference_verifier_reads_signatures_over_any_body(body: bytes) -> None:
    headers = dict(signed_headers(parse_keys(SECRET), "evt_1", datetime.now(UTC), body))
    Webhook(SECRET).verify(body, headers, json_parse=False)


def test_each_key_signs_once_in_the_order_given() -> None:
    now = datetime.now(UTC)
    both = signed_headers(parse_keys(f" {SECRET}\n{OTHER} "), "evt_1", now, b"{}")
    singly = [
        signed_headers(parse_keys(key), "evt_1", now, b"{}")["webhook-signature"]
        for key in (SECRET, OTHER)
    ]
    assert both["webhook-signature"].split(" ") == singly


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("hunter2hunter2", "does not begin with whsec_"),
        ("whsec_", "no base64"),
        ("whsec_hunter2!hunter2", "no base64"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "23 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "65 bytes"),
        ("whsk_" + base64.b64encode(b"x" * 32).decode(), "asymmetric"),
        (f"{SECRET} hunter2", "key 2"),
        (f"{SECRET},{OTHER}", "no base64"),
        (" ".join([SECRET] * 5), "5 keys"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_and_not_shown(text: str, complaint: str) -> None:
    with pytest.raises(KeyFormatError, match=complaint) as raised:
        parse_keys(text)
    assert "hunter2" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_unpadded_keys_are_read() -> None:
    key = "whsec_" + base64.b64encode(b"x" * 31).decode().rstrip("=")
    assert parse_keys(key) == parse_keys(key + "==")


def test_a_key_shows_itself_nowhere() -> None:
    key = SigningKey(SECRET)
    assert repr(key) == str(key) == "SigningKey(…)"
    assert key == SigningKey(SECRET)
    assert key != SigningKey(OTHER)
    assert len({key, SigningKey(SECRET)}) == 1
