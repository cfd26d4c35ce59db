"""The registry of job types: a second kind of analysis is a new file, and not a new fleet.

A handler says what a job needs, makes the request that an analysis process gets, and names the
functions that run there. Handlers beyond the built-in `audio_analysis` live in modules named by
`WORKER_HANDLERS`; such a module calls `register` when it is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from worker.contract import DEFAULT_JOB_TYPE, AnalysisJob
from worker.failures import ErrorCode, JobFailure
from worker.locations import S3Location

if TYPE_CHECKING:
    from worker.settings import Settings

BUILT_IN_MODULES: Final = ("worker.audio_analysis",)


@dataclass(frozen=True)
class JobInput:
    """One S3 object that a job needs."""

    name: str
    location: S3Location
    max_bytes: int
    is_shared: bool = False
    """Whether many jobs name it, so that keeping it pays."""
    is_optional: bool = False
    """Whether the job goes on without it when there is no such object."""


@dataclass(frozen=True)
class Analysed:
    """What an analysis process gives back."""

    result: bytes
    """The result as JSON."""
    stages_s: Mapping[str, float]
    """Seconds by stage (worker.metrics.STAGES), in the order in which they ran."""


@dataclass(frozen=True)
class Refused:
    """An analysis process's word that the input is wrong for ever."""

    code: ErrorCode
    message: str


class JobHandler(Protocol):
    """One kind of job."""

    job_type: str
    bulky: Sequence[str]
    """Dotted paths of the result (`*` = each item) that are left out of a too large event."""

    def version(self) -> str:
        """Name the version of the scoring: equal inputs scored by it give an equal result."""
        ...

    def inputs(self, job: AnalysisJob, settings: Settings) -> Sequence[JobInput]:
        """What to download; raises JobFailure if the job does not say enough."""
        ...

    def request(self, job: AnalysisJob, inputs: Mapping[str, bytes], settings: Settings) -> Any:
        """Make the picklable value that `analyse` gets; it alone decides the result."""
        ...

    @property
    def analyse(self) -> Callable[[Any], Analysed | Refused]:
        """The module-level function that runs in an analysis process."""
        ...

    @property
    def warm_up(self) -> Callable[[], None]:
        """The module-level function that loads what `analyse` needs."""
        ...


_HANDLERS: dict[str, JobHandler] = {}


def register(handler: JobHandler) -> None:
    """Make a handler known under its job type."""
    _HANDLERS[handler.job_type] = handler


def load(modules: Sequence[str] = ()) -> Mapping[str, JobHandler]:
    """Import the built-in handlers and those of `modules`; all that are registered, by type."""
    for module in (*BUILT_IN_MODULES, *modules):
        importlib.import_module(module)
    return dict(_HANDLERS)


def handler_of(handlers: Mapping[str, JobHandler], job_type: str | None) -> JobHandler:
    """Find the handler of a message's `job_type` attribute; `audio_analysis` when absent.

    Raises
    ------
    JobFailure
        unknown_job_type, with the type and those that are known.
    """
    name = job_type or DEFAULT_JOB_TYPE
    try:
        return handlers[name]
    except KeyError:
        raise JobFailure(
            ErrorCode.UNKNOWN_JOB_TYPE,
            f"No handler for job_type {name[:80]!r}; this worker knows {', '.join(handlers)}.",
        ) from None
