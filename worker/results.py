"""Results: computed once, kept, and delivered until somebody has them.

In the results bucket, under the results prefix:

    {job_id}.json              the completed event with the whole result; written if absent
    undelivered/{job_id}.json  there while the event is stored and not yet delivered
    delivered/{job_id}.json    there once it was delivered
    cache/{sha256}.json        a result, named by its inputs, options and engine version
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from worker.contract import AnalysisJob, Event, EventType, event_id_of
from worker.failures import ErrorCode, JobFailure
from worker.locations import S3Location, unsigned

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.storage import Storage

FINGERPRINT: Final = "job-fingerprint"
WEBHOOK_URL: Final = "webhook_url"

UNDELIVERED: Final = "undelivered/"
"""The folder of notes on events that nobody has taken yet, below the results prefix."""


@dataclass(frozen=True)
class StoredEvent:
    """A completed event as it was first stored, and whether it was delivered."""

    event: Event
    is_delivered: bool


def fingerprint(job: AnalysisJob, job_type: str) -> str:
    """What makes two jobs of one job_id the same: their type and the inputs that they name."""
    named = {
        "job_type": job_type,
        "audio": unsigned(job.s3_audio_url),
        "textgrid": unsigned(job.s3_textgrid_url or ""),
        "pitch": unsigned(job.s3_pitch_url or ""),
        "reference_audio": unsigned(job.s3_reference_audio_url or ""),
        "text": job.text or "",
        "video_id": "" if job.video_id is None else str(job.video_id),
    }
    return hashlib.sha256(orjson.dumps(named, option=orjson.OPT_SORT_KEYS)).hexdigest()


def cache_key(job_type: str, version: str, inputs: Mapping[str, bytes], options: object) -> str:
    """SHA-256 of everything that decides a result."""
    digest = hashlib.sha256()
    digest.update(orjson.dumps([job_type, version, repr(options)]))
    for name in sorted(inputs):
        digest.update(orjson.dumps([name, len(inputs[name])]))
        digest.update(hashlib.sha256(inputs[name]).digest())
    return digest.hexdigest()


def webhook_url_in(note: bytes) -> str | None:
    """Read where the event goes that a note under `undelivered/` stands for."""
    try:
        fields: Any = orjson.loads(note)
    except orjson.JSONDecodeError:
        return None
    url = fields.get(WEBHOOK_URL) if isinstance(fields, dict) else None
    return url if isinstance(url, str) else None


class ResultStore:
    """The results bucket."""

    def __init__(self, storage: Storage, *, bucket: str, prefix: str, use_cache: bool) -> None:
        self._storage = storage
        self._bucket = bucket
        self._prefix = prefix
        self._use_cache = use_cache

    @classmethod
    def from_settings(cls, settings: Settings, storage: Storage) -> ResultStore | None:
        """Make the store, if a bucket is set."""
        if settings.results_bucket is None:
            return None
        return cls(
            storage,
            bucket=settings.results_bucket,
            prefix=settings.results_prefix,
            use_cache=settings.result_cache,
        )

    def location(self, job_id: str) -> S3Location:
        """Where the completed event of a job lies."""
        return S3Location(self._bucket, f"{self._prefix}{job_id}.json")

    def undelivered(self, job_id: str) -> S3Location:
        """Where the note lies that a stored event is not yet delivered."""
        return S3Location(self._bucket, f"{self._prefix}{UNDELIVERED}{job_id}.json")

    def delivered(self, job_id: str) -> S3Location:
        """Where the note lies that an event was delivered."""
        return S3Location(self._bucket, f"{self._prefix}delivered/{job_id}.json")

    async def find(self, job_id: str, *, expected: str | None = None) -> StoredEvent | None:
        """Read the stored event of a job.

        Parameters
        ----------
        expected
            The fingerprint of the job at hand.

        Raises
        ------
        JobFailure
            job_id_conflict, if the stored event belongs to other inputs.
        """
        found = await self._storage.read(self.location(job_id))
        if found is None:
            return None
        body, metadata = found
        if expected is not None and metadata.get(FINGERPRINT, expected) != expected:
            raise JobFailure(
                ErrorCode.JOB_ID_CONFLICT,
                f"The job_id {job_id!r} already has a result, for other inputs.",
            )
        event = Event(event_id_of(job_id, EventType.COMPLETED), EventType.COMPLETED, job_id, body)
        return StoredEvent(event, await self._storage.exists(self.delivered(job_id)))

    async def keep(self, event: Event, *, fingerprint: str, webhook_url: str | None) -> StoredEvent:
        """Store a completed event; the first write wins.

        Returns
        -------
        The event that stands: this one, or the one that another worker stored before.
        """
        # Never over another's note: a job of the same id and other inputs may be about to lose,
        # and its webhook must not get the result that stands.
        note = orjson.dumps({WEBHOOK_URL: webhook_url})
        noted = await self._storage.write(self.undelivered(event.job_id), note, if_absent=True)
        if await self._storage.write(
            self.location(event.job_id),
            event.body,
            metadata={FINGERPRINT: fingerprint},
            if_absent=True,
        ):
            return StoredEvent(event, is_delivered=False)
        try:
            stored = await self.find(event.job_id, expected=fingerprint)
        except JobFailure:
            if noted:
                await self._storage.remove(self.undelivered(event.job_id))
            raise
        if stored is None:
            raise JobFailure(
                ErrorCode.RESULTS_UNAVAILABLE,
                f"The result of job {event.job_id} was removed while it was stored.",
            )
        if stored.is_delivered:
            await self._storage.remove(self.undelivered(event.job_id))
        return stored

    async def mark_delivered(self, job_id: str) -> None:
        """Note that the event was delivered."""
        await self._storage.write(self.delivered(job_id), b"{}")
        await self._storage.remove(self.undelivered(job_id))

    async def give_up(self, job_id: str, webhook_url: str) -> None:
        """List the event of a job as undelivered no longer, if it was to go to this webhook."""
        place = self.undelivered(job_id)
        note = await self._storage.read(place)
        if note is not None and webhook_url_in(note[0]) == webhook_url:
            await self._storage.remove(place)

    async def cached(self, key: str) -> bytes | None:
        """Read a result with equal inputs, options and version."""
        if not self._use_cache:
            return None
        found = await self._storage.read(self._cache_location(key))
        return None if found is None else found[0]

    async def cache(self, key: str, result: bytes) -> None:
        """Keep a result for equal inputs."""
        if self._use_cache:
            await self._storage.write(self._cache_location(key), result)

    def _cache_location(self, key: str) -> S3Location:
        return S3Location(self._bucket, f"{self._prefix}cache/{key}.json")
