"""S3 in and out: inputs streamed under a cap, shared references kept by ETag."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError as StreamError
from botocore.exceptions import ClientError

from worker import spans
from worker.failures import ErrorCode, JobFailure, classify
from worker.locations import S3Location
from worker.objects import SignedObjects
from worker.sdk_objects import SdkObjects, status_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

    from worker.tracing import Span

CHUNK_BYTES: Final = 256 * 1024
REFERENCE_CACHE_BYTES: Final = 32 * 2**20
ENTRY_BYTES: Final = 1024
"""What one reference takes in the cache beside its data and its key, in round numbers."""

CONFLICT_ATTEMPTS: Final = 4
"""S3 answers 409 to a conditional write that runs beside another; the write is repeated."""

_BROKE_OFF: Final = (StreamError, TimeoutError, asyncio.IncompleteReadError)
"""What reading a body may raise; botocore wraps none of it."""


@dataclass(frozen=True)
class Fetched:
    """One object as it was when it was read."""

    data: bytes
    etag: str


class Storage:
    """Reads inputs, and reads and writes results.

    Parameters
    ----------
    objects
        Reads and writes objects for less than `s3` does; none = `s3` does it.
    """

    def __init__(
        self,
        s3: S3Client,
        objects: SignedObjects | None = None,
        *,
        cache_bytes: int = REFERENCE_CACHE_BYTES,
    ) -> None:
        self._s3 = s3
        self._objects = objects or SdkObjects(s3)
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[S3Location, Fetched] = OrderedDict()
        self._cached_bytes = 0

    async def fetch(
        self, location: S3Location, *, what: str, max_bytes: int, shared: bool = False
    ) -> Fetched:
        """Read one object.

        Parameters
        ----------
        what
            The thing's name in a message ("recording").
        max_bytes
            A larger object is refused before or, should its length lie, while it is read.
        shared
            Many jobs name this object: keep it, and ask S3 only whether it has changed.

        Raises
        ------
        JobFailure
            not_found, input_too_large (permanent); access_denied, credentials_expired,
            storage_unavailable (retried).
        """
        with spans.s3("GetObject", location) as span:
            return await self._fetch(location, what, max_bytes, shared, span)

    async def _fetch(
        self, location: S3Location, what: str, max_bytes: int, shared: bool, span: Span
    ) -> Fetched:
        named = f"{what} {location}"
        kept = self._cache.get(location) if shared else None
        try:
            reply = await self._objects.get(location, unless_etag=kept.etag if kept else None)
            spans.answered(span, reply)
            async with reply["Body"] as stream:
                length = reply.get("ContentLength") or 0
                chunks, size = [], 0
                if length <= max_bytes:
                    async for chunk in stream.iter_chunks(CHUNK_BYTES):
                        chunks.append(chunk)
                        size += len(chunk)
                        if size > max_bytes:
                            break
        except ClientError as error:
            spans.answered(span, error.response)
            if kept and status_of(error) == 304:
                self._keep(location, kept)  # it may have been dropped meanwhile
                return kept
            raise classify(error, what=named) from error
        except _BROKE_OFF as error:
            raise _broken_off(named, error) from error
        except Exception as error:
            raise classify(error, what=named) from error
        if max(size, length) > max_bytes:
            raise JobFailure(
                ErrorCode.INPUT_TOO_LARGE,
                f"The {named} has {max(size, length):,} bytes or more; the limit is {max_bytes:,}.",
            )
        if size != length and length:
            raise JobFailure(
                ErrorCode.STORAGE_UNAVAILABLE,
                f"The {named} broke off after {size:,} of {length:,} bytes.",
            )
        fetched = Fetched(b"".join(chunks), reply.get("ETag", ""))
        if shared and fetched.etag:
            self._keep(location, fetched)
        return fetched

    def _keep(self, location: S3Location, fetched: Fetched) -> None:
        if old := self._cache.pop(location, None):
            self._cached_bytes -= _bytes_of(location, old)
        self._cache[location] = fetched
        self._cached_bytes += _bytes_of(location, fetched)
        while self._cached_bytes > self._cache_bytes:
            self._cached_bytes -= _bytes_of(*self._cache.popitem(last=False))

    async def read(self, location: S3Location) -> tuple[bytes, dict[str, str]] | None:
        """Read an object of our own with its metadata; None if there is none.

        Raises
        ------
        JobFailure
            storage_unavailable, if the object breaks off while it is read.
        ClientError, BotoCoreError
            S3 refused or did not answer, after the SDK's own retries.
        """
        with spans.s3("GetObject", location) as span:
            try:
                reply = await self._objects.get(location, may_be_absent=True)
                spans.answered(span, reply)
                async with reply["Body"] as stream:
                    return await stream.read(), dict(reply.get("Metadata", {}))
            except ClientError as error:
                spans.answered(span, error.response)
                if status_of(error) == 404:
                    return None
                raise
            except _BROKE_OFF as error:
                raise _broken_off(str(location), error) from error

    async def exists(self, location: S3Location) -> bool:
        """Whether there is such an object."""
        with spans.s3("HeadObject", location) as span:
            try:
                reply = await self._s3.head_object(Bucket=location.bucket, Key=location.key)
            except ClientError as error:
                spans.answered(span, error.response)
                if status_of(error) == 404:
                    return False
                raise
            spans.answered(span, reply)
            return True

    async def write(
        self,
        location: S3Location,
        data: bytes,
        *,
        metadata: dict[str, str] | None = None,
        if_absent: bool = False,
    ) -> bool:
        """Write an object of JSON; False if `if_absent` was asked for and it was there."""
        for attempt in range(1, CONFLICT_ATTEMPTS + 1):
            with spans.s3("PutObject", location) as span:
                try:
                    reply = await self._objects.put(
                        location,
                        data,
                        content_type="application/json",
                        metadata=metadata or {},
                        if_absent=if_absent,
                    )
                except ClientError as error:
                    spans.answered(span, error.response)
                    if if_absent and status_of(error) == 412:
                        return False
                    if not (if_absent and status_of(error) == 409) or attempt == CONFLICT_ATTEMPTS:
                        raise
                else:
                    spans.answered(span, reply)
                    return True
            await asyncio.sleep(0.05 * 2**attempt)
        return False

    async def remove(self, location: S3Location) -> None:
        """Remove an object, if it is there."""
        with spans.s3("DeleteObject", location) as span:
            reply = await self._objects.delete(location)
            spans.answered(span, reply)


def _bytes_of(location: S3Location, fetched: Fetched) -> int:
    """What an entry counts: an empty object under a long key takes memory, too."""
    return ENTRY_BYTES + 4 * len(location.key) + len(fetched.data)


def _broken_off(named: str, error: BaseException) -> JobFailure:
    return JobFailure(
        ErrorCode.STORAGE_UNAVAILABLE,
        f"The {named} broke off while it was read: {type(error).__name__}.",
    )
