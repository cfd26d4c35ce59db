"""What crosses the border: the job message in, the event out.

`AnalysisJob.parse` reads an SQS body; `ResultEvent` is a webhook body. The result inside an event
is bytes that the analysis process wrote: nothing here knows of phones or pitch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from worker.failures import CODES, ErrorCode, JobFailure, Stage

SCHEMA_VERSION: Final = "1.0"
"""Version of the event envelope; what may change within it: docs/webhooks.md."""

MAX_METADATA_BYTES: Final = 4096
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_TEXT_CHARS: Final = 2000
MAX_URL_CHARS: Final = 4096
MAX_VIDEO_ID_CHARS: Final = 256
MAX_PROBLEMS: Final = 5
DEFAULT_JOB_TYPE: Final = "audio_analysis"

OLDER_NAMES: Final = {"webhook_url": "callback_url", "video_id": "token_id"}
"""Fields by the names that the first generation of producers uses; accepted for good."""

JOB_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,128}$"
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

LEAST_INTEGER: Final = -(2**63)
ABOVE_INTEGER: Final = 2**64
"""Whole numbers from the one to below the other are read and written to the digit."""

EXACT_FLOAT: Final = 2.0**53
"""From here on a float is no longer sure to be the whole number that was written."""

Integer = Annotated[StrictInt, Field(ge=LEAST_INTEGER, le=ABOVE_INTEGER - 1)]
# A whole number beyond 64 bits is read as a float, and would be echoed as another number.
Float = Annotated[StrictFloat, Field(gt=LEAST_INTEGER, lt=ABOVE_INTEGER)]
Scalar = StrictStr | StrictBool | Integer | Float | None


def _blank_is_absent(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _by_newer_names(fields: dict[str, Any]) -> dict[str, Any]:
    taken = {
        name: fields[older]
        for name, older in OLDER_NAMES.items()
        if older in fields and _blank_is_absent(fields.get(name)) is None
    }
    return {**fields, **taken}


def _whole_or_text(value: object) -> object:
    """A clip's id as it is echoed: 7 for the 7.0 that some languages write."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        return int(value)
    return _blank_is_absent(value)


def _is_beyond_64_bits(value: object) -> bool:
    if isinstance(value, float):
        return not LEAST_INTEGER < value < ABOVE_INTEGER
    return isinstance(value, int) and not LEAST_INTEGER <= value < ABOVE_INTEGER


# The length stands on the text alone: on the union it would be asked of None as well.
Url = Annotated[
    Annotated[StrictStr, Field(max_length=MAX_URL_CHARS)] | None, BeforeValidator(_blank_is_absent)
]
Line = Annotated[
    Annotated[StrictStr, Field(max_length=MAX_TEXT_CHARS)] | None, BeforeValidator(_blank_is_absent)
]


class AnalysisJob(BaseModel):
    """One job: the body of an SQS message. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job_id: Annotated[StrictStr, Field(pattern=JOB_ID_PATTERN)] = Field(
        description="The producer's name for this job: 1–128 of A-Z a-z 0-9 _ -. Equal inputs "
        "may be sent again under it; other inputs may not.",
        examples=["take-42"],
    )
    s3_audio_url: Annotated[StrictStr, Field(min_length=1, max_length=MAX_URL_CHARS)] = Field(
        description="The recording: s3://bucket/key, an https S3 URL, or a bare key in the "
        "worker's default bucket.",
        examples=["s3://uploads/2026/take-42.webm"],
    )
    webhook_url: Url = Field(
        default=None,
        description="Where events go. `callback_url` is the older name. Required unless the "
        "worker has a results queue or a results bucket.",
        examples=["https://api.example.com/hooks/analysis"],
    )
    s3_textgrid_url: Url = Field(default=None, description="The reference Praat TextGrid.")
    s3_pitch_url: Url = Field(
        default=None, description='The reference pitch: [{"time": s, "hz": number|null}, …].'
    )
    s3_reference_audio_url: Url = Field(
        default=None, description="The actor's own recording, for loudness and spectral likeness."
    )
    text: Line = Field(default=None, description="The line, for jobs with no TextGrid.")
    video_id: Annotated[StrictStr, Field(max_length=MAX_VIDEO_ID_CHARS)] | Integer | None = Field(
        default=None,
        description="The clip the line belongs to; echoed. A number fits 64 bits; a larger one "
        "is text. `token_id` is the older name.",
    )
    progress: StrictBool | None = Field(
        default=None, description="Also send analysis.progress; overrides the worker's setting."
    )
    metadata: dict[str, Scalar] = Field(
        default_factory=dict,
        description="A flat object of at most 4 kB, echoed in every event; its numbers fit 64 "
        "bits.",
    )
    timestamp: Any = Field(
        default=None, description="When the producer made the job; for people, not read."
    )
    source: Any = Field(
        default=None, description="Which producer made the job; for people, not read."
    )

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, value: object) -> object:
        """Take an older name's value where the newer one is missing, null or blank."""
        return _by_newer_names(value) if isinstance(value, dict) else value

    @field_validator("metadata", mode="before")
    @classmethod
    def _metadata_given(cls, value: object) -> object:
        if isinstance(value, dict) and any(map(_is_beyond_64_bits, value.values())):
            raise ValueError("holds a number beyond 64 bits: send it as text")
        return {} if value is None else value

    @field_validator("metadata")
    @classmethod
    def _metadata_small(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        size = len(orjson.dumps(value))
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"is {size} bytes as JSON, over {MAX_METADATA_BYTES}")
        return value

    @field_validator("video_id", mode="before")
    @classmethod
    def _video_id_number(cls, value: object) -> object:
        read = _whole_or_text(value)
        if _is_beyond_64_bits(read) or (isinstance(read, float) and read.is_integer()):
            raise ValueError("is a number too large to be read to the digit: send it as text")
        return read

    @classmethod
    def parse(cls, body: str | bytes) -> Self:
        """Read a message body.

        Raises
        ------
        JobFailure
            `invalid_json` or `invalid_message`, naming the fields and what is wrong with them.
        """
        fields = _json_object(body)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise JobFailure(ErrorCode.INVALID_MESSAGE, explain(error)) from None


def _json_object(body: str | bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except (orjson.JSONDecodeError, UnicodeEncodeError, RecursionError) as error:
        raise JobFailure(
            ErrorCode.INVALID_JSON, f"The message body is no JSON: {str(error)[:200]}."
        ) from None
    if not isinstance(value, dict):
        raise JobFailure(
            ErrorCode.INVALID_JSON,
            f"The message body is a JSON {type(value).__name__}, and must be an object.",
        )
    return value


def explain(error: ValidationError) -> str:
    """Field by field what is wrong; no value and no key inside one is shown: they are personal."""
    problems = dict.fromkeys(
        f"{item['loc'][0] if item['loc'] else 'message'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
    return ("The message is not valid: " + "; ".join(list(problems)[:MAX_PROBLEMS]))[:1000]


@dataclass(frozen=True)
class Addressee:
    """What can still be read of a message that is not valid: whom to tell, about what."""

    job_id: str | None = None
    webhook_url: str | None = None
    video_id: str | int | None = None
    metadata: dict[str, Any] | None = None

    @classmethod
    def of(cls, job: AnalysisJob) -> Addressee:
        """The addressee of a valid job."""
        return cls(job.job_id, job.webhook_url, job.video_id, job.metadata)

    @classmethod
    def salvage(cls, body: str | bytes) -> Addressee:
        """Read whom a body names: all of a valid one, of another what is usable. Never raises."""
        try:
            fields = _json_object(body)
        except JobFailure:
            return cls()
        try:
            return cls.of(AnalysisJob.model_validate(fields))
        except ValidationError:
            fields = _by_newer_names(fields)
        job_id = fields.get("job_id")
        url = _blank_is_absent(fields.get("webhook_url"))
        video_id = _whole_or_text(fields.get("video_id"))
        return cls(
            job_id=job_id if isinstance(job_id, str) and _JOB_ID.fullmatch(job_id) else None,
            webhook_url=url if isinstance(url, str) and len(url) <= MAX_URL_CHARS else None,
            video_id=video_id
            if isinstance(video_id, str | int)
            and not isinstance(video_id, bool)
            and len(str(video_id)) <= MAX_VIDEO_ID_CHARS
            else None,
            metadata=_salvaged_metadata(fields.get("metadata")),
        )


def _salvaged_metadata(value: object) -> dict[str, Any] | None:
    """Metadata as a valid job may have it; None for any other."""
    if not isinstance(value, dict):
        return None
    if any(isinstance(item, dict | list) or _is_beyond_64_bits(item) for item in value.values()):
        return None
    return value if len(orjson.dumps(value)) <= MAX_METADATA_BYTES else None


class EventType(StrEnum):
    """The `type` of an event."""

    COMPLETED = "analysis.completed"
    FAILED = "analysis.failed"
    PROGRESS = "analysis.progress"


class EventStatus(StrEnum):
    """The `status` of an event's data."""

    COMPLETED = "completed"
    FAILED = "failed"
    PROCESSING = "processing"


class EventError(BaseModel):
    """Why a job failed."""

    code: ErrorCode = Field(description="The reason, from a closed list.")
    message: str = Field(description="What happened, with the thing and its value, and what to do.")
    stage: Stage = Field(description="Where in its life the job failed.")
    retryable: bool = Field(description="Whether the same job may succeed if it is sent again.")
    cause: ErrorCode | None = Field(
        default=None, description="The last real code behind `retries_exhausted`."
    )

    @classmethod
    def of(cls, failure: JobFailure) -> EventError:
        """The error block of a failure."""
        return cls(
            code=failure.code,
            message=f"{failure.message} {CODES[failure.cause or failure.code].advice}",
            stage=failure.stage,
            retryable=failure.retryable or failure.cause is not None,
            cause=failure.cause,
        )


class EventData(BaseModel):
    """The data of an event."""

    schema_version: str = SCHEMA_VERSION
    job_id: str
    video_id: str | int | None = None
    status: EventStatus
    progress: Annotated[int, Field(ge=0, le=100)] = Field(
        description="10 accepted, 40 inputs downloaded, 70 analysing, 100 the final event."
    )
    message: str = Field(description="One sentence for people.")
    attempt: Annotated[int, Field(ge=1)] = Field(
        description="How many times the queue has handed out this job."
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="The job's own, unchanged.")
    result: Any | None = Field(default=None, description="The result; see the result's schema.")
    error: EventError | None = None
    result_location: str | None = Field(
        default=None, description="s3://… of the whole result, where results are kept."
    )


class ResultEvent(BaseModel):
    """One event: the body of a webhook request, and of a message on the results queue."""

    type: EventType
    timestamp: datetime = Field(description="When the event came about, ISO 8601 in UTC.")
    data: EventData


@dataclass(frozen=True)
class Event:
    """An event ready to be sent: its identity and its bytes, the same at every delivery."""

    event_id: str
    type: EventType
    job_id: str
    body: bytes


def event_id_of(job_id: str, event_type: EventType, progress: int | None = None) -> str:
    """The `webhook-id`: the same for each delivery of the same event of the same job; no dot."""
    name = f"{job_id}\n{event_type}" + ("" if progress is None else f"\n{progress}")
    return "evt_" + hashlib.sha256(name.encode()).hexdigest()[:32]


def build_event(
    event_type: EventType,
    addressee: Addressee,
    *,
    attempt: int,
    progress: int,
    message: str,
    result: bytes | None = None,
    error: EventError | None = None,
    result_location: str | None = None,
) -> Event:
    """Write an event.

    Parameters
    ----------
    result
        The result's JSON, as the analysis process wrote it.
    """
    status = {
        EventType.COMPLETED: EventStatus.COMPLETED,
        EventType.FAILED: EventStatus.FAILED,
        EventType.PROGRESS: EventStatus.PROCESSING,
    }[event_type]
    job_id = addressee.job_id or ""
    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "job_id": job_id,
        "video_id": addressee.video_id,
        "status": status.value,
        "progress": progress,
        "message": message,
        "attempt": attempt,
        "metadata": addressee.metadata or {},
    }
    if error is not None:
        data["error"] = error.model_dump(mode="json")
    if result is not None:
        data["result"] = orjson.Fragment(result)
    data["result_location"] = result_location
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Event(
        event_id_of(job_id, event_type, progress if event_type is EventType.PROGRESS else None),
        event_type,
        job_id,
        orjson.dumps({"type": event_type.value, "timestamp": now, "data": data}),
    )


def prune(body: bytes, root: Sequence[str], paths: Sequence[str]) -> bytes:
    """Take parts out of a JSON document.

    Parameters
    ----------
    root
        Keys that lead to the object which `paths` start from.
    paths
        Dotted paths; `*` stands for each item of an array. What is not there is passed over.
    """
    document = orjson.loads(body)
    start = document
    for key in root:
        start = start.get(key) or {}
    for path in paths:
        _remove(start, path.split("."))
    return orjson.dumps(document)


def _remove(node: Any, path: Sequence[str]) -> None:
    first, rest = path[0], path[1:]
    if first == "*" and isinstance(node, list):
        for item in node:
            _remove(item, rest)
    elif isinstance(node, dict) and first in node:
        if rest:
            _remove(node[first], rest)
        else:
            del node[first]
