"""Signatures of events, after the Standard Webhooks specification (HMAC-SHA256, `v1`)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 24
MAX_KEY_BYTES: Final = 64
"""The specification: "between 24 bytes (192 bits) and 64 bytes (512 bits)"."""

MAX_KEYS: Final = 4
"""Signatures in one header: two while a key is rotated, and some room."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class KeyFormatError(ValueError):
    """A webhook secret is not in a usable form; the text never shows it."""


class SigningKey:
    """One symmetric key; it shows itself nowhere.

    Parameters
    ----------
    text
        `whsec_` and 24 to 64 bytes in base64.

    Raises
    ------
    KeyFormatError
        What is wrong with it.
    """

    def __init__(self, text: str) -> None:
        if text.startswith(("whsk_", "whpk_")):
            raise KeyFormatError("it is an asymmetric key (whsk_ or whpk_); send one with whsec_")
        if not text.startswith(PREFIX):
            raise KeyFormatError(f"it does not begin with {PREFIX}")
        encoded = text.removeprefix(PREFIX)
        # Checked here: the library decodes leniently, and drops characters that are no base64.
        if not _BASE64.fullmatch(encoded):
            raise KeyFormatError(f"what follows {PREFIX} is no base64")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise KeyFormatError(f"what follows {PREFIX} is no base64") from None
        if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
            raise KeyFormatError(
                f"it holds {len(key)} bytes; {MIN_KEY_BYTES} to {MAX_KEY_BYTES} are asked for "
                f"(openssl rand -base64 32)"
            )
        self._key = key
        self._webhook = Webhook(key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and hmac.compare_digest(self._key, other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return "SigningKey(…)"

    def sign(self, event_id: str, when: datetime, body: bytes) -> str:
        """One signature, `v1,` and base64. `when` is aware, in UTC."""
        return self._webhook.sign(msg_id=event_id, timestamp=when, data=body.decode())


def parse_keys(text: str) -> tuple[SigningKey, ...]:
    """Read one key or several, space-separated, the newest first.

    Raises
    ------
    KeyFormatError
        Which one is wrong, and how.
    """
    parts = text.split()
    if not parts:
        raise KeyFormatError("it is empty")
    if len(parts) > MAX_KEYS:
        raise KeyFormatError(f"it holds {len(parts)} keys, over {MAX_KEYS}")
    keys = []
    for number, part in enumerate(parts, 1):
        try:
            keys.append(SigningKey(part))
        except KeyFormatError as error:
            raise KeyFormatError(f"key {number}: {error}") from None
    return tuple(keys)


def signed_headers(
    keys: Sequence[SigningKey], event_id: str, when: datetime, body: bytes
) -> Mapping[str, str]:
    """The Standard Webhooks headers of one attempt; without keys there is no signature.

    Parameters
    ----------
    event_id
        The `webhook-id`: the same at every attempt.
    when
        The time of the attempt, aware.
    body
        The bytes that are sent.
    """
    when = when.astimezone(UTC)  # the library takes any time's digits for UTC
    headers = {"webhook-id": event_id, "webhook-timestamp": str(int(when.timestamp()))}
    if keys:
        headers["webhook-signature"] = " ".join(key.sign(event_id, when, body) for key in keys)
    return headers
