"""Stored results that nobody has taken: sent again, by one sweep at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from worker.expiry import old_objects
from worker.failures import JobFailure
from worker.locations import S3Location
from worker.logs import bound, get_logger
from worker.results import UNDELIVERED, webhook_url_in

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

    from worker.storage import Storage
    from worker.sweep_report import Deliverer

CLAIM_S: Final = 600
"""After this a claim's owner is taken for dead: longer than any delivery."""

RESENDS_AT_ONCE: Final = 8
CLAIMS: Final = "sweeping/"
"""A sweep's claim on a job, below the results prefix: written if absent, removed when done."""

_log = get_logger("worker.sweep")


class Undelivered:
    """Sends stored results again that nobody has taken."""

    def __init__(
        self,
        s3: S3Client,
        storage: Storage,
        deliverer: Deliverer,
        *,
        bucket: str,
        prefix: str,
    ) -> None:
        self._s3 = s3
        self._storage = storage
        self._to = deliverer
        self._bucket = bucket
        self._prefix = prefix

    async def resend_all(self, *, older_than_s: float) -> None:
        """Send every result that has been under `undelivered/` for longer than this."""
        places = asyncio.Semaphore(RESENDS_AT_ONCE)

        async def one(job_id: str) -> None:
            async with places:
                await self._resend(job_id)

        folder = self._prefix + UNDELIVERED
        async for page in old_objects(self._s3, self._bucket, folder, older_than_s=older_than_s):
            names = [key.removeprefix(folder) for key in page]
            job_ids = [name.removesuffix(".json") for name in names if name.endswith(".json")]
            async with asyncio.TaskGroup() as group:
                for job_id in job_ids:
                    group.create_task(one(job_id))

    async def _resend(self, job_id: str) -> None:
        claim = S3Location(self._bucket, f"{self._prefix}{CLAIMS}{job_id}.json")
        with bound(job_id=job_id):
            try:
                if not await self._claim(claim):
                    return
                try:
                    await self._deliver(job_id)
                finally:
                    await self._storage.remove(claim)
            except JobFailure as failure:
                _log.warning("sweep_later", code=str(failure.code), reason=failure.message)
                self._to.report.later += 1
            except (ClientError, BotoCoreError, OSError, TimeoutError) as error:
                _log.error("sweep_failed", error=type(error).__name__, reason=str(error))
                self._to.report.errors += 1
            except Exception:  # it stops no other: all of a page are sent side by side
                _log.exception("sweep_raised")
                self._to.report.errors += 1

    async def _claim(self, claim: S3Location) -> bool:
        """Take the job for this sweep; a claim left over by a dead one is taken over."""
        if await self._storage.write(claim, b"{}", if_absent=True):
            return True
        try:
            head = await self._s3.head_object(Bucket=claim.bucket, Key=claim.key)
        except ClientError:
            return False
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        if now - head["LastModified"] < timedelta(seconds=CLAIM_S):
            return False
        await self._storage.remove(claim)
        return await self._storage.write(claim, b"{}", if_absent=True)

    async def _deliver(self, job_id: str) -> None:
        results = self._to.results
        assert results is not None  # noqa: S101
        note = await self._storage.read(results.undelivered(job_id))
        if note is None:  # delivered since the listing
            return
        stored = await results.find(job_id)
        if stored is None or stored.is_delivered:
            await self._storage.remove(results.undelivered(job_id))
            return
        try:
            await self._to.sinks.send(webhook_url_in(note[0]), stored.event, bulky=self._to.bulky)
        except JobFailure as failure:
            if failure.retryable:
                _log.warning("sweep_later", code=str(failure.code), reason=failure.message)
                self._to.report.later += 1
            else:
                _log.error("result_given_up", code=str(failure.code), reason=failure.message)
                self._to.report.given_up += 1
                await self._storage.remove(results.undelivered(job_id))
            return
        await results.mark_delivered(job_id)
        _log.info("result_resent")
        self._to.report.resent += 1
