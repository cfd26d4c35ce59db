"""S3 objects by one request that the SDK only sends: a third of the cost of its own GetObject.

The SDK reads the first object of a bucket, and shows by that where the bucket is asked for. From
then on requests go there by the session below it (worker/sdk_wire.py). Left out are its events, its
endpoint rules for each object, its retries, how it reads an answer, and its checksum of the body:
on its way TLS guards that over https, and over http only TCP does. So an object is asked for once,
and two answers are understood: here it is, and it is unchanged. After any other, or none, the SDK
is asked as if nothing had been before, and what it says counts: it retries, follows a bucket into
its region, and names the error.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.response import StreamingBody
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import percent_encode

from worker.logs import get_logger
from worker.sdk_ways import Way, Ways
from worker.sdk_wire import REFUSALS, Place, Wire, metadata

if TYPE_CHECKING:
    import aiohttp
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

    from worker.locations import S3Location

SAFE_IN_KEY: Final = "/~"
"""What of a key stands in a URL as it is, as the SDK writes it; beside letters, digits and -._"""

BUCKETS_KEPT: Final = 256
"""Buckets of which something is known; a fleet has a handful, but messages may name any."""

log = get_logger()


class SignedObjects:
    """Reads objects as the SDK's `get_object` does, and fails as it does.

    Parameters
    ----------
    wire
        Its client is asked first for a bucket, and after any answer that is not understood here.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buckets: Ways[str] = Ways()
        wire.watch("GetObject")

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
        if known and known.is_open:
            try:
                answer = await self._ask_once(known, location.key, unless_etag)
            except (BotoCoreError, ClientError) as error:
                refusal = type(error.__cause__ or error).__name__  # the SDK's own says more
            else:
                if answer.status == HTTPStatus.OK:
                    return _reply(answer)
                answer.release()
                if answer.status == HTTPStatus.NOT_MODIFIED:
                    raise ClientError(_unchanged(answer), "GetObject")
                if answer.status in REFUSALS:
                    refusal = f"status {answer.status}"
        self._wire.forget()
        try:
            reply = await plain_get(self._wire.client, location, unless_etag=unless_etag)
        except ClientError as error:
            if status_of(error) == HTTPStatus.NOT_MODIFIED:
                self._learn(location, known, refusal)
            raise
        self._learn(location, known, refusal)
        return reply

    async def _ask_once(self, bucket: Way, key: str, etag: str | None) -> aiohttp.ClientResponse:
        """Send one signed request."""
        return await self._wire.send(
            "GET",
            bucket.place,
            further_path=percent_encode(key, safe=SAFE_IN_KEY),
            headers={"if-none-match": etag} if etag else None,
            stream=True,
        )

    def _learn(self, location: S3Location, known: Way | None, refusal: str) -> None:
        """Keep what the SDK has just shown: where the bucket is, and that only it is answered."""
        if self._buckets.learn(
            location.bucket,
            known,
            lambda: self._shown(location.key),
            is_refused=bool(refusal),
            most=BUCKETS_KEPT,
        ):
            log.info("signed_request_refused", bucket=location.bucket, reason=refusal)

    def _shown(self, key: str) -> Way | None:
        """Where the SDK has just asked for a key; None if a request made here would be another."""
        request = self._wire.sent
        path = percent_encode(key, safe=SAFE_IN_KEY)
        if request is None or not request.url.endswith(f"/{path}"):
            return None
        region = self._wire.region_of(request)
        return Way(Place(request.url.removesuffix(path), region)) if region else None


def _reply(answer: aiohttp.ClientResponse) -> GetObjectOutputTypeDef:
    # No length where the body comes in chunks: then it ends where they do.
    length: Any = answer.headers.get("content-length")
    return {  # type: ignore[typeddict-item]  # what nobody asks for is left out
        "ResponseMetadata": metadata(answer),
        "ETag": answer.headers.get("etag", ""),
        "ContentLength": int(length or 0),
        "Body": StreamingBody(answer, length),
    }


def _unchanged(answer: aiohttp.ClientResponse) -> Any:
    return {"Error": {"Code": "304"}, "ResponseMetadata": metadata(answer)}


async def plain_get(
    s3: S3Client, location: S3Location, *, unless_etag: str | None = None
) -> GetObjectOutputTypeDef:
    """Ask the SDK for an object, unless its ETag is this one."""
    condition: dict[str, Any] = {"IfNoneMatch": unless_etag} if unless_etag else {}
    return await s3.get_object(Bucket=location.bucket, Key=location.key, **condition)


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that the SDK raised; 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
