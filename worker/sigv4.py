"""AWS Signature Version 4 of one request, in the headers.

After the IAM user guide, "Create a signed AWS API request", and the Amazon S3 API reference,
"Authenticating requests: using the Authorization header". The SDK's own signer builds a request
object and two e-mail header tables for each signature, and costs thirty times as much, which is
more than the request that it signs (docs/benchmarks.md).
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

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_END: Final = "aws4_request"

KEYS_KEPT: Final = 16
"""Derived keys: one for each day, region, service and secret that is in use."""


def signed_headers(
    keys: ReadOnlyCredentials,
    *,
    service: str,
    region: str,
    method: str,
    host: str,
    path: str,
    at: datetime,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> dict[str, str]:
    """Sign a request without a query.

    Parameters
    ----------
    host
        The Host header as it is sent: without the scheme's own port.
    path
        As it is sent, percent-encoded once; for services other than S3 without `.`, `..` and
        doubled slashes, which they would have signed otherwise.
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
    digest = hashlib.sha256(body).hexdigest()
    sent = {"host": host, "x-amz-date": moment}
    if service == "s3":  # the only one that asks for it
        sent["x-amz-content-sha256"] = digest
    if keys.token:
        sent["x-amz-security-token"] = keys.token
    if headers:
        sent.update(headers)
    names = sorted(sent)
    signed = ";".join(names)
    lines = [f"{name}:{sent[name]}" for name in names]
    canonical = "\n".join((method, path, "", *lines, "", signed, digest))
    day = moment[:8]
    scope = f"{day}/{region}/{service}/{_END}"
    to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(keys.secret_key, day, region, service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return sent


@lru_cache(maxsize=KEYS_KEPT)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, _END):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
