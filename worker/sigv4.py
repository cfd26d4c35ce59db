"""AWS Signature Version 4 of a GET of an S3 object, in the headers.

After the Amazon S3 API reference, "Authenticating requests: using the Authorization header". The
SDK's own signer builds a request object and two e-mail header tables for each signature, and costs
thirty times as much, which is more than the request that it signs (docs/benchmarks.md).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

EMPTY_BODY_SHA256: Final = hashlib.sha256(b"").hexdigest()

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"
_END: Final = "aws4_request"

KEYS_KEPT: Final = 16
"""Derived keys: one for each day, region and secret that is in use."""


def signed_headers(
    keys: ReadOnlyCredentials,
    *,
    region: str,
    host: str,
    path: str,
    at: datetime,
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Sign a GET without query and body.

    Parameters
    ----------
    host
        The Host header as it is sent: without the scheme's own port.
    path
        As it is sent, percent-encoded once.
    at
        Now, in UTC.
    headers
        Further headers, which are signed too; their names in lower case, their values without
        space around them or doubled in them.

    Returns
    -------
    dict
        Every header of the request, Host and Authorization among them.
    """
    moment = at.strftime("%Y%m%dT%H%M%SZ")
    sent = {"host": host, "x-amz-content-sha256": EMPTY_BODY_SHA256, "x-amz-date": moment}
    if keys.token:
        sent["x-amz-security-token"] = keys.token
    if headers:
        sent.update(headers)
    names = sorted(sent)
    signed = ";".join(names)
    lines = [f"{name}:{sent[name]}" for name in names]
    canonical = "\n".join(("GET", path, "", *lines, "", signed, EMPTY_BODY_SHA256))
    day = moment[:8]
    scope = f"{day}/{region}/{_SERVICE}/{_END}"
    to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(keys.secret_key, day, region)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return sent


@lru_cache(maxsize=KEYS_KEPT)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, _SERVICE, _END):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
