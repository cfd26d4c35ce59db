"""A job type that computes nothing: what is left is the worker itself. For load and soaks.

Named by `WORKER_HANDLERS=scripts.noop_jobs`; jobs carry the message attribute `job_type=noop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from worker.handlers import Analysed, JobInput, Refused, register

if TYPE_CHECKING:
    from worker.contract import AnalysisJob
    from worker.settings import Settings

RESULT = b'{"scores":{}}'


class Noop:
    """Fetches nothing and scores nothing."""

    job_type = "noop"
    bulky: Sequence[str] = ()

    def version(self) -> str:
        """It never changes."""
        return "1"

    def inputs(self, job: AnalysisJob, settings: Settings) -> Sequence[JobInput]:
        """Nothing is needed."""
        return ()

    def request(self, job: AnalysisJob, inputs: Mapping[str, bytes], settings: Settings) -> str:
        """The smallest request there is."""
        return job.job_id

    @property
    def analyse(self) -> Callable[[str], Analysed | Refused]:
        """Run in an analysis process, as real work would."""
        return analyse

    @property
    def warm_up(self) -> Callable[[], None]:
        """Nothing to load."""
        return warm_up


def analyse(job_id: str) -> Analysed:
    """Give the same answer to all."""
    return Analysed(RESULT, {})


def warm_up() -> None:
    """Nothing to load."""


register(Noop())
