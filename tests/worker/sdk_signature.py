"""What the SDK's own signer would have written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials


def sdk_authorization(
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
) -> str:
    """The Authorization header of a request over plain HTTP."""
    request = AWSRequest(method, f"http://{host}{path}", headers=headers, data=body)
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: at)
        signer(keys, service, region).add_auth(request)
    return str(request.headers["Authorization"])
