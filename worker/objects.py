"""S3 objects by one request that the SDK signs and sends: half the cost of its own GetObject.

The SDK still says where a bucket is, signs with its own credentials and sends through its own HTTP
session, with its proxies, CA bundle and time-outs. Left out are its events, its endpoint rules for
each object, its retries, how it reads an answer, and its sum over bytes that TLS has guarded. So an
object is asked for once, and two answers are understood: here it is, and it is unchanged. After any
other, or none, the SDK is asked as if nothing had been before, and what it says counts: it retries,
follows a bucket into its region, and names the error.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.response import StreamingBody
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import percent_encode

from worker.logs import get_logger

if TYPE_CHECKING:
    from aiobotocore.session import AioSession
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

    from worker.locations import S3Location

LEFT_TO_SDK_S: Final = 600.0
"""How long a bucket is left to the SDK that was answered where one signed request was refused: it
is in another region, or is a directory bucket with sessions of its own."""

SAFE_IN_KEY: Final = "/~"
"""What of a key stands in a URL as it is, as the SDK writes it; beside letters, digits and -._"""

BUCKETS_KEPT: Final = 256
"""Buckets whose address is kept; a fleet has a handful, but messages may name any."""

log = get_logger()


@dataclass(frozen=True)
class Bucket:
    """Where a bucket's objects are asked for, and for what a request is signed."""

    url: str
    """What stands before a key."""
    service: str
    region: str


class SignedObjects:
    """Reads objects as the SDK's `get_object` does, and fails as it does.

    Parameters
    ----------
    s3
        What is asked after any answer that is not understood here.
    session
        Has the credentials, and refreshes them.
    signer
        Says where a bucket is; sends nothing.
    http
        The SDK's session that the signer would send with.
    user_agent
        What S3's access log shows.
    """

    def __init__(
        self,
        s3: S3Client,
        session: AioSession,
        signer: S3Client,
        http: AIOHTTPSession,
        *,
        user_agent: str,
    ) -> None:
        self._s3 = s3
        self._session = session
        self._signer = signer
        self._http = http
        self._headers = {"User-Agent": user_agent}
        self._buckets: dict[str, Bucket] = {}
        self._left_until: dict[str, float] = {}

    async def get(
        self, location: S3Location, *, unless_etag: str | None = None
    ) -> GetObjectOutputTypeDef:
        """Ask for an object; the answer's `Body` is to be read and closed.

        Parameters
        ----------
        unless_etag
            An object that still has this ETag is answered by a ClientError with status 304.

        Raises
        ------
        ClientError, BotoCoreError
            S3 refused or did not answer, after the SDK's own retries.
        """
        left = time.monotonic() < self._left_until.get(location.bucket, 0.0)
        answer = None if left else await self._ask_once(location, unless_etag)
        if answer is not None:
            if answer.status_code == HTTPStatus.OK:
                return _reply(answer)
            answer.raw.release()
            if answer.status_code == HTTPStatus.NOT_MODIFIED:
                raise ClientError(_unchanged(answer), "GetObject")
        reply = await plain_get(self._s3, location, unless_etag=unless_etag)
        if answer is not None:
            self._left_until[location.bucket] = time.monotonic() + LEFT_TO_SDK_S
            log.info("signed_request_refused", bucket=location.bucket, status=answer.status_code)
        return reply

    async def _ask_once(self, location: S3Location, etag: str | None) -> Any:
        """Send one signed request; the SDK's response, or None if there was no answer."""
        try:
            bucket = self._buckets.get(location.bucket) or await self._find(location.bucket)
            credentials = await self._session.get_credentials()
            if credentials is None:
                return None
            keys = await credentials.get_frozen_credentials()
            headers = self._headers | ({"If-None-Match": etag} if etag else {})
            url = bucket.url + percent_encode(location.key, safe=SAFE_IN_KEY)
            request = AWSRequest("GET", url, headers=headers, stream_output=True)
            S3SigV4Auth(keys, bucket.service, bucket.region).add_auth(request)
            prepared: Any = request.prepare()  # the stubs ask for what requests would send
            return await self._http.send(prepared)
        except (BotoCoreError, ClientError):
            return None  # the SDK's own attempt says what is wrong

    async def _find(self, name: str) -> Bucket:
        """Ask the SDK where a bucket is, by a URL that it signs and nobody uses."""
        signed = await self._signer.generate_presigned_url(
            "get_object", Params={"Bucket": name, "Key": "k"}
        )
        url, _, query = signed.partition("?")
        scope = dict(parse_qsl(query))["X-Amz-Credential"].split("/")
        if len(self._buckets) >= BUCKETS_KEPT:
            self._buckets.clear()
        found = self._buckets[name] = Bucket(url.removesuffix("k"), scope[-2], scope[-3])
        return found


def _reply(answer: Any) -> GetObjectOutputTypeDef:
    # No length where the body comes in chunks: then it ends where they do.
    length: Any = answer.headers.get("content-length")
    return {  # type: ignore[typeddict-item]  # what nobody asks for is left out
        "ResponseMetadata": _metadata(answer),
        "ETag": answer.headers.get("etag", ""),
        "ContentLength": int(length or 0),
        "Body": StreamingBody(answer.raw, length),
    }


def _unchanged(answer: Any) -> Any:
    return {"Error": {"Code": "304"}, "ResponseMetadata": _metadata(answer)}


def _metadata(answer: Any) -> Any:
    headers = answer.headers
    return {
        "HTTPStatusCode": answer.status_code,
        # The first is what other AWS services, and local stacks in S3's place, call it.
        "RequestId": headers.get("x-amzn-requestid") or headers.get("x-amz-request-id", ""),
        "HostId": headers.get("x-amz-id-2", ""),
    }


async def plain_get(
    s3: S3Client, location: S3Location, *, unless_etag: str | None = None
) -> GetObjectOutputTypeDef:
    """Ask the SDK for an object, unless its ETag is this one."""
    condition: dict[str, Any] = {"IfNoneMatch": unless_etag} if unless_etag else {}
    return await s3.get_object(Bucket=location.bucket, Key=location.key, **condition)


@asynccontextmanager
async def open_objects(
    session: AioSession, s3: S3Client, config: AioConfig, *, user_agent: str
) -> AsyncIterator[SignedObjects]:
    """Open a reader of objects by signed requests.

    Parameters
    ----------
    s3
        The client that is asked where a signed request is not answered.
    config
        How objects are asked for: signature version 4, and the addresses that `s3` asks.
    """
    made: list[AIOHTTPSession] = []

    class Session(AIOHTTPSession):
        """The SDK makes it, with all that the environment and the profile say; it is kept."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    keeping = config.merge(AioConfig(http_session_cls=Session))
    region = s3.meta.region_name
    async with session.create_client("s3", region_name=region, config=keeping) as signer:
        yield SignedObjects(s3, session, signer, made[0], user_agent=user_agent)
