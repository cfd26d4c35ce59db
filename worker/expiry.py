"""Objects past their age, deleted where no lifecycle rule does it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from worker.logs import get_logger
from worker.results import UNDELIVERED

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

    from worker.sweep_report import SweepReport

DELETE_BATCH: Final = 1000
"""S3's limit on keys in one DeleteObjects (Amazon S3 API Reference)."""

_log = get_logger("worker.sweep")


async def old_objects(
    s3: S3Client, bucket: str, prefix: str, *, older_than_s: float
) -> AsyncIterator[list[str]]:
    """List the keys under a prefix that were written longer ago than this, page by page.

    S3's own clock is compared with S3's own times.
    """
    token: dict[str, str] = {}
    while True:
        reply = await s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **token)  # type: ignore[arg-type]
        now = parsedate_to_datetime(reply["ResponseMetadata"]["HTTPHeaders"]["date"])
        latest: datetime = now - timedelta(seconds=older_than_s)
        keys = [item["Key"] for item in reply.get("Contents", []) if item["LastModified"] <= latest]
        if keys:
            yield keys
        if not reply.get("IsTruncated"):
            return
        token = {"ContinuationToken": reply["NextContinuationToken"]}


async def expire(
    s3: S3Client,
    bucket: str,
    prefix: str,
    *,
    older_than_s: float,
    report: SweepReport,
    is_results: bool = False,
    dry_run: bool = False,
) -> None:
    """Delete objects past their age, where no lifecycle rule does.

    Parameters
    ----------
    is_results
        The prefix holds results: one that is not yet delivered stays, and so does its note.
    """
    spared: set[str] = set()
    if is_results:
        notes = prefix + UNDELIVERED
        async for page in old_objects(s3, bucket, notes, older_than_s=-1):
            spared.update(page)
            spared.update(prefix + key.removeprefix(notes) for key in page)
    async for page in old_objects(s3, bucket, prefix, older_than_s=older_than_s):
        keys = [key for key in page if key not in spared]
        for start in range(0, len(keys), DELETE_BATCH):
            batch = keys[start : start + DELETE_BATCH]
            if dry_run:
                report.expired += len(batch)
                continue
            reply = await s3.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
            )
            for item in reply.get("Errors", []):
                _log.error("object_not_deleted", key=item.get("Key"), code=item.get("Code"))
            report.errors += len(reply.get("Errors", []))
            report.expired += len(batch) - len(reply.get("Errors", []))
