"""What the SDK's own signer would have written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials


def sdk_authorization(
    keys: ReadOnlyCredentials, region: str, url: str, headers: Mapping[str, str], at: datetime
) -> str:
    """The Authorization header of a GET of an object."""
    request = AWSRequest("GET", url, headers=headers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: at)
        botocore.auth.S3SigV4Auth(keys, "s3", region).add_auth(request)
    return str(request.headers["Authorization"])
