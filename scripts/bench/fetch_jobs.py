"""A job type that fetches one object and computes nothing: all that is left is the worker.

Named by `WORKER_HANDLERS=scripts.bench.fetch_jobs`; jobs carry the message attribute
`job_type=bench-fetch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from scripts.noop_jobs import Noop
from worker.handlers import JobInput, register
from worker.locations import S3Location

if TYPE_CHECKING:
    from worker.contract import AnalysisJob
    from worker.settings import Settings

JOB_TYPE: Final = "bench-fetch"
MAX_BYTES: Final = 2**20


class Fetch(Noop):
    """Fetches the recording, anew for each job, and leaves its bytes behind."""

    job_type = JOB_TYPE

    def inputs(self, job: AnalysisJob, settings: Settings) -> Sequence[JobInput]:
        """Name the one object, as one that no other job shares: nothing is cached."""
        return (JobInput("audio", S3Location.parse(job.s3_audio_url), MAX_BYTES),)


register(Fetch())
