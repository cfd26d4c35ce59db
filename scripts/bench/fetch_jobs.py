"""A job type that fetches one object and computes nothing: all that is left is the worker.

Named by `WORKER_HANDLERS=scripts.bench.fetch_jobs`; jobs carry the message attribute
`job_type=bench-fetch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from scripts.noop_jobs import analyse, warm_up
from worker.handlers import Analysed, JobInput, Refused, register
from worker.locations import S3Location

if TYPE_CHECKING:
    from worker.contract import AnalysisJob
    from worker.settings import Settings

JOB_TYPE: Final = "bench-fetch"
MAX_BYTES: Final = 2**20


class Fetch:
    """Fetches the recording, anew for each job, and scores nothing."""

    job_type = JOB_TYPE
    bulky: Sequence[str] = ()

    def version(self) -> str:
        """It never changes."""
        return "1"

    def inputs(self, job: AnalysisJob, settings: Settings) -> Sequence[JobInput]:
        """Name the one object, as one that no other job shares: nothing is cached."""
        return (JobInput("audio", S3Location.parse(job.s3_audio_url), MAX_BYTES),)

    def request(self, job: AnalysisJob, inputs: Mapping[str, bytes], settings: Settings) -> str:
        """Leave the bytes behind: computing is not what is measured."""
        return job.job_id

    @property
    def analyse(self) -> Callable[[str], Analysed | Refused]:
        """Run in an analysis process, as real work would."""
        return analyse

    @property
    def warm_up(self) -> Callable[[], None]:
        """Nothing to load."""
        return warm_up


register(Fetch())
