"""S3 objects by one request that the SDK only sends: a third of the cost of its own calls.

The SDK reads the first object of a bucket, and shows by that where the bucket is asked for. From
then on requests go there below it (worker/sdk_wire.py). Left out are its events, its endpoint rules
for each object, its retries, how it reads an answer, and its checksums: what is written is signed
with the digest of its body, which S3 checks; what is read is guarded on its way by TLS over https,
and over http only by TCP. So an object is asked for once, and only the answers that a job mostly
gets are understood. After any other, or none, the SDK is asked as if nothing had been before, and
what it says counts: it retries, follows a bucket into its region, and names the error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiobotocore.response import StreamingBody
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import percent_encode

from worker.logs import get_logger
from worker.sdk_objects import ANY, SdkObjects, status_of
from worker.sdk_ways import Way, Ways
from worker.sdk_wire import REFUSALS, Place, Wire, metadata

if TYPE_CHECKING:
    import aiohttp
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

    from worker.locations import S3Location

SAFE_IN_KEY: Final = "/~"
"""What of a key stands in a URL as it is, as the SDK writes it; beside letters, digits and -._"""

METADATA: Final = "x-amz-meta-"
"""What the headers begin with that are an object's own."""

_DONE: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})
_UNCHANGED: Final = frozenset({HTTPStatus.NOT_MODIFIED})
_ABSENT_OR_UNCHANGED: Final = _UNCHANGED | {HTTPStatus.NOT_FOUND}
_PRESENT: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT})

BUCKETS_KEPT: Final = 256
"""Buckets of which something is known; a fleet has a handful, but messages may name any."""

log = get_logger()


R = TypeVar("R")


@dataclass(frozen=True)
class _Asked:
    """What came of a request made here."""

    known: Way | None
    """How the bucket is asked, as far as it was known."""
    answer: aiohttp.ClientResponse | None = None
    """One that is understood; None = the SDK is to be asked."""
    refusal: str = ""
    """Why, if the same is to be expected of the next request."""


class SignedObjects:
    """Reads, writes and removes objects as `SdkObjects` does, and fails as it does.

    Parameters
    ----------
    wire
        Its client is asked first for a bucket, and after any answer that is not understood here.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sdk = SdkObjects(wire.client)
        self._buckets: Ways[str] = Ways()
        wire.watch("GetObject")

    async def get(
        self, location: S3Location, *, unless_etag: str | None = None, may_be_absent: bool = False
    ) -> GetObjectOutputTypeDef:
        """Ask for an object, as `SdkObjects.get`.

        Raises
        ------
        ClientError, BotoCoreError
            S3 refused or did not answer, after the SDK's own retries.
        """
        errors = _ABSENT_OR_UNCHANGED if may_be_absent else _UNCHANGED
        condition = {"if-none-match": unless_etag} if unless_etag else None
        asked = await self._ask("GetObject", "GET", location, errors, headers=condition)
        if asked.answer is not None:
            return _object(asked.answer)
        get = self._sdk.get(location, unless_etag=unless_etag, may_be_absent=may_be_absent)
        return await self._after_all(asked, location, errors, get)

    async def put(
        self,
        location: S3Location,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        if_absent: bool,
    ) -> Mapping[str, Any]:
        """Write an object, as `SdkObjects.put`; raises as `get` does."""
        headers = {"content-type": content_type}
        headers |= {METADATA + name.lower(): value for name, value in metadata.items()}
        if if_absent:
            headers["if-none-match"] = ANY
        asked = await self._ask(
            "PutObject", "PUT", location, _PRESENT, headers=headers, body=data, stream=False
        )
        if asked.answer is not None:
            return _reply(asked.answer)
        put = self._sdk.put(
            location, data, content_type=content_type, metadata=metadata, if_absent=if_absent
        )
        return await self._after_all(asked, location, _PRESENT, put)

    async def delete(self, location: S3Location) -> Mapping[str, Any]:
        """Remove an object, as `SdkObjects.delete`; raises as `get` does."""
        asked = await self._ask("DeleteObject", "DELETE", location, frozenset(), stream=False)
        if asked.answer is not None:
            return _reply(asked.answer)
        return await self._after_all(asked, location, frozenset(), self._sdk.delete(location))

    async def _ask(
        self,
        operation: str,
        method: str,
        location: S3Location,
        errors: Collection[int],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: bool = True,
    ) -> _Asked:
        """Send one signed request, if it is known where to; raises what is among `errors`."""
        known = self._buckets.get(location.bucket)
        if known is None or not known.is_open:
            return _Asked(known)
        try:
            answer = await self._wire.send(
                method,
                known.place,
                further_path=percent_encode(location.key, safe=SAFE_IN_KEY),
                headers=headers,
                body=body,
                stream=stream,
            )
        except (BotoCoreError, ClientError) as error:  # the SDK's own attempt says what is wrong
            return _Asked(known, refusal=type(error.__cause__ or error).__name__)
        if answer.status in _DONE:
            return _Asked(known, answer)
        answer.release()
        if answer.status in errors:
            raise ClientError(_error(answer), operation)
        if answer.status in REFUSALS:
            return _Asked(known, refusal=f"status {answer.status}")
        return _Asked(known)

    async def _after_all(
        self, asked: _Asked, location: S3Location, errors: Collection[int], call: Awaitable[R]
    ) -> R:
        """Have the SDK ask, and keep what it shows: how it asks, and that only it is answered."""
        self._wire.forget()
        try:
            reply = await call
        except ClientError as error:
            if status_of(error) in errors:
                self._learn(asked, location)
            raise
        self._learn(asked, location)
        return reply

    def _learn(self, asked: _Asked, location: S3Location) -> None:
        if self._buckets.learn(
            location.bucket,
            asked.known,
            lambda: self._shown(location.key),
            is_refused=bool(asked.refusal),
            most=BUCKETS_KEPT,
        ):
            log.info("signed_request_refused", bucket=location.bucket, reason=asked.refusal)

    def _shown(self, key: str) -> Way | None:
        """Where the SDK has just asked for a key; None if a request made here would be another."""
        request = self._wire.sent
        path = percent_encode(key, safe=SAFE_IN_KEY)
        if request is None or not request.url.endswith(f"/{path}"):
            return None
        region = self._wire.region_of(request)
        return Way(Place(request.url.removesuffix(path), region)) if region else None


def _object(answer: aiohttp.ClientResponse) -> GetObjectOutputTypeDef:
    headers = answer.headers
    # No length where the body comes in chunks: then it ends where they do.
    length: Any = headers.get("content-length")
    return {  # type: ignore[typeddict-item]  # what nobody asks for is left out
        "ResponseMetadata": metadata(answer),
        "ETag": headers.get("etag", ""),
        "ContentLength": int(length or 0),
        "Metadata": {
            name[len(METADATA) :].lower(): value
            for name, value in headers.items()
            if name.lower().startswith(METADATA)
        },
        "Body": StreamingBody(answer, length),
    }


def _reply(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    return {"ResponseMetadata": metadata(answer)}


def _error(answer: aiohttp.ClientResponse) -> Any:
    return {"Error": {"Code": str(answer.status)}, **_reply(answer)}
