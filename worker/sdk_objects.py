"""S3 objects through the SDK alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

    from worker.locations import S3Location

ANY: Final = "*"
"""The ETag of whatever is there."""


class SdkObjects:
    """Reads, writes and removes objects; every refusal is a ClientError, as the SDK raises it."""

    def __init__(self, s3: S3Client) -> None:
        self._s3 = s3

    async def get(
        self, location: S3Location, *, unless_etag: str | None = None, may_be_absent: bool = False
    ) -> GetObjectOutputTypeDef:
        """Ask for an object; the answer's `Body` is to be read and closed.

        Parameters
        ----------
        unless_etag
            An object that still has this ETag is answered by a ClientError with status 304.
        may_be_absent
            No object is no surprise. (It is a ClientError with status 404 either way.)
        """
        condition: dict[str, Any] = {"IfNoneMatch": unless_etag} if unless_etag else {}
        return await self._s3.get_object(Bucket=location.bucket, Key=location.key, **condition)

    async def put(
        self,
        location: S3Location,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        if_absent: bool,
    ) -> Mapping[str, Any]:
        """Write an object.

        Parameters
        ----------
        metadata
            ASCII, without space around a value or doubled in it.
        if_absent
            An object that is there stays, and is answered by a ClientError with status 412; 409
            if another is being written.
        """
        condition: dict[str, Any] = {"IfNoneMatch": ANY} if if_absent else {}
        return await self._s3.put_object(
            Bucket=location.bucket,
            Key=location.key,
            Body=data,
            ContentType=content_type,
            Metadata=metadata,
            **condition,
        )

    async def delete(self, location: S3Location) -> Mapping[str, Any]:
        """Remove an object, if it is there."""
        return await self._s3.delete_object(Bucket=location.bucket, Key=location.key)


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that the SDK raised; 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
