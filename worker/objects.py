"""S3 objects by one request that the SDK only sends: a fifth of the cost of its own GetObject.

The SDK reads the first object of a bucket, and shows by that where the bucket is asked for. From
then on requests are signed here with its credentials (worker/sigv4.py), and its client's own HTTP
session sends them, with its proxies, CA bundle and time-outs. Left out are its events, its endpoint
rules for each object, its retries, how it reads an answer, and its checksum of the body: on its way
TLS guards that over https, and over http only TCP does. So an object is asked for once, and two
answers are understood: here it is, and it is unchanged. After any other, or none, the SDK is asked
as if nothing had been before, and what it says counts: it retries, follows a bucket into its
region, and names the error.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.response import StreamingBody
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.utils import percent_encode
from yarl import URL

from worker import sigv4
from worker.logs import get_logger

if TYPE_CHECKING:
    from aiobotocore.session import AioSession
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

    from worker.locations import S3Location

LEFT_TO_SDK_S: Final = 600.0
"""How long a bucket is left to the SDK that was answered where one signed request was not."""

REFUSALS: Final = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
)
"""What S3 answers to a request that is addressed or signed wrongly, and will answer to the next. Of
other statuses the cause is the object or the moment."""

SAFE_IN_KEY: Final = "/~"
"""What of a key stands in a URL as it is, as the SDK writes it; beside letters, digits and -._"""

BUCKETS_KEPT: Final = 256
"""Buckets of which something is known; a fleet has a handful, but messages may name any."""

log = get_logger()

_SIGNED: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/(?P<region>[^/,]+)/s3/aws4_request,"
)
"""The signature that is made here. Others stay with the SDK: those for directory buckets by keys of
a session, for several regions, for other services in S3's place."""

_sent: ContextVar[Any] = ContextVar("sent", default=None)
"""The last request for an object that the SDK has sent in this task."""


@dataclass(frozen=True)
class Bucket:
    """Where a bucket's objects are asked for, and for which region a request is signed."""

    url: str
    """What stands before a key."""
    region: str
    left_until: float = 0.0
    """Until when the SDK alone is asked, by the monotonic clock."""

    @cached_property
    def host(self) -> str:
        """The Host header: without the scheme's own port."""
        return URL(self.url, encoded=True).host_port_subcomponent or ""

    @cached_property
    def path(self) -> str:
        """What of the path stands before a key."""
        return URL(self.url, encoded=True).raw_path


class SignedObjects:
    """Reads objects as the SDK's `get_object` does, and fails as it does.

    Parameters
    ----------
    s3
        Is asked first for a bucket, and after any answer that is not understood here.
    session
        Has the credentials, and refreshes them.
    http
        The session that `s3` sends through.
    user_agent
        What S3's access log shows.
    """

    def __init__(
        self, s3: S3Client, session: AioSession, http: AIOHTTPSession, *, user_agent: str
    ) -> None:
        self._s3 = s3
        self._session = session
        self._http = http
        self._headers = {"User-Agent": user_agent}
        self._buckets: dict[str, Bucket] = {}
        s3.meta.events.register("before-send.s3.GetObject", _note_sent)

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
        known = self._buckets.get(location.bucket)
        refusal = ""
        if known and monotonic() >= known.left_until:
            try:
                answer = await self._ask_once(known, location.key, unless_etag)
            except (BotoCoreError, ClientError) as error:
                refusal = type(error).__name__  # the SDK's own attempt says what is wrong
            else:
                if answer.status_code == HTTPStatus.OK:
                    return _reply(answer)
                answer.raw.release()
                if answer.status_code == HTTPStatus.NOT_MODIFIED:
                    raise ClientError(_unchanged(answer), "GetObject")
                if answer.status_code in REFUSALS:
                    refusal = f"status {answer.status_code}"
        _sent.set(None)
        try:
            reply = await plain_get(self._s3, location, unless_etag=unless_etag)
        except ClientError as error:
            if status_of(error) == HTTPStatus.NOT_MODIFIED:
                self._learn(location, known, refusal)
            raise
        self._learn(location, known, refusal)
        return reply

    async def _ask_once(self, bucket: Bucket, key: str, etag: str | None) -> Any:
        """Send one signed request."""
        credentials = await self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        keys = await credentials.get_frozen_credentials()
        encoded = percent_encode(key, safe=SAFE_IN_KEY)
        headers = sigv4.signed_headers(
            keys,
            region=bucket.region,
            host=bucket.host,
            path=bucket.path + encoded,
            at=datetime.now(UTC),
            headers={"if-none-match": etag} if etag else None,
        )
        sent: Any = headers | self._headers  # the stubs ask for what requests would send
        url = bucket.url + encoded
        request: Any = AWSPreparedRequest("GET", url, sent, body=None, stream_output=True)
        return await self._http.send(request)

    def _learn(self, location: S3Location, known: Bucket | None, refusal: str) -> None:
        """Keep what the SDK has just shown: where the bucket is, and that only it is answered."""
        name = location.bucket
        if (known and not refusal) or self._buckets.get(name) is not known:
            return  # nothing is new, or another read has kept it meanwhile
        found = _asked(_sent.get(), location.key) or known
        if found is None:
            return
        if refusal:
            found = replace(found, left_until=monotonic() + LEFT_TO_SDK_S)
            log.info("signed_request_refused", bucket=name, reason=refusal)
        self._buckets.pop(name, None)
        if len(self._buckets) >= BUCKETS_KEPT:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[name] = found


def _note_sent(request: Any, **_: Any) -> None:
    _sent.set(request)


def _asked(request: Any, key: str) -> Bucket | None:
    """Where this request of the SDK asks for a key; None if ours would be another."""
    if request is None:
        return None
    header = request.headers.get("Authorization", b"")
    signed = _SIGNED.match(header.decode() if isinstance(header, bytes) else header)
    path = percent_encode(key, safe=SAFE_IN_KEY)
    if not signed or not request.url.endswith(f"/{path}"):
        return None
    return Bucket(request.url.removesuffix(path), signed["region"])


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


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that the SDK raised; 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@asynccontextmanager
async def open_s3(
    session: AioSession, config: AioConfig, *, region: str, user_agent: str
) -> AsyncIterator[tuple[S3Client, SignedObjects]]:
    """Open an S3 client, and a reader of objects that sends through the client's HTTP session."""
    made: list[AIOHTTPSession] = []

    class Session(AIOHTTPSession):
        """The client makes it, with all that the environment and the profile say; it is kept."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    keeping = config.merge(AioConfig(http_session_cls=Session))
    async with session.create_client("s3", region_name=region, config=keeping) as s3:
        yield s3, SignedObjects(s3, session, made[0], user_agent=user_agent)
