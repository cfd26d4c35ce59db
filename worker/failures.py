"""Every way in which a job can fail, what is done about it, and the one classifier.

    JobFailure(code, message)      what every stage raises; `policy` follows from the code
    ├── Policy.PERMANENT           the input is wrong for ever: tell, dead-letter, delete
    ├── Policy.RETRY               may work later: back off until the queue's last receive
    ├── Policy.RETRY_LIMITED       an analysis process was lost or stuck: at most three receives
    └── Policy.FINAL               what the last receive turns a retry into

    LeaseLost                      another worker may hold the message: settle nothing

The order below is the order in which a job meets them: message, fetch, decode, analysis, deliver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MAX_RECEIVES_OF_A_LOST_PROCESS: Final = 3
"""Receives after which a job that loses or stalls its analysis process is taken for poison."""


class Stage(StrEnum):
    """Where in its life a job failed."""

    MESSAGE = "message"
    FETCH = "fetch"
    DECODE = "decode"
    ANALYSIS = "analysis"
    DELIVER = "deliver"


class Policy(StrEnum):
    """What becomes of a message whose job failed."""

    PERMANENT = "permanent"
    RETRY = "retry"
    RETRY_LIMITED = "retry_limited"
    FINAL = "final"


class ErrorCode(StrEnum):
    """The codes of `error.code` in an event and of `error_code` on a dead letter."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_JOB_TYPE = "unknown_job_type"
    URL_REFUSED = "url_refused"
    BUCKET_NOT_ALLOWED = "bucket_not_allowed"
    JOB_ID_CONFLICT = "job_id_conflict"

    NOT_FOUND = "not_found"
    INPUT_TOO_LARGE = "input_too_large"
    ACCESS_DENIED = "access_denied"
    CREDENTIALS_EXPIRED = "credentials_expired"
    STORAGE_UNAVAILABLE = "storage_unavailable"

    AUDIO_EMPTY = "audio_empty"
    AUDIO_INVALID = "audio_invalid"
    AUDIO_TRUNCATED = "audio_truncated"
    AUDIO_NOT_FINITE = "audio_not_finite"
    AUDIO_UNSUPPORTED = "audio_unsupported"
    AUDIO_TOO_LARGE = "audio_too_large"
    AUDIO_TOO_LONG = "audio_too_long"
    REFERENCE_INVALID = "reference_invalid"
    PITCH_INVALID = "pitch_invalid"

    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    ANALYSIS_ERROR = "analysis_error"

    WEBHOOK_GONE = "webhook_gone"
    WEBHOOK_REJECTED = "webhook_rejected"
    WEBHOOK_UNAVAILABLE = "webhook_unavailable"
    RESULTS_UNAVAILABLE = "results_unavailable"
    RESULT_QUEUE_UNAVAILABLE = "result_queue_unavailable"

    JOB_TIMEOUT = "job_timeout"
    INTERNAL_ERROR = "internal_error"
    RETRIES_EXHAUSTED = "retries_exhausted"


NO_EVENT_AFTER: Final = frozenset({ErrorCode.WEBHOOK_GONE, ErrorCode.URL_REFUSED})
"""Failures after which nothing more is sent to the webhook."""


@dataclass(frozen=True)
class CodeInfo:
    """What a code means: where it arises, what is done, and what a person can do."""

    stage: Stage
    policy: Policy
    advice: str


def _entry(stage: Stage, policy: Policy, advice: str) -> CodeInfo:
    return CodeInfo(stage, policy, advice)


CODES: Final[Mapping[ErrorCode, CodeInfo]] = {
    ErrorCode.INVALID_JSON: _entry(
        Stage.MESSAGE, Policy.PERMANENT, "Send a JSON object in UTF-8 as the message body."
    ),
    ErrorCode.INVALID_MESSAGE: _entry(
        Stage.MESSAGE,
        Policy.PERMANENT,
        "Correct the named fields; `analysis-worker schema job` prints what is accepted.",
    ),
    ErrorCode.UNKNOWN_JOB_TYPE: _entry(
        Stage.MESSAGE,
        Policy.PERMANENT,
        "Send a job_type that this fleet has a handler for, or deploy the handler first.",
    ),
    ErrorCode.URL_REFUSED: _entry(
        Stage.MESSAGE,
        Policy.PERMANENT,
        "Use an https URL of a public host, or have the operator allow this host or network.",
    ),
    ErrorCode.BUCKET_NOT_ALLOWED: _entry(
        Stage.MESSAGE,
        Policy.PERMANENT,
        "Put the object into an allowed bucket, or have the operator add it to "
        "WORKER_ALLOWED_BUCKETS.",
    ),
    ErrorCode.JOB_ID_CONFLICT: _entry(
        Stage.MESSAGE,
        Policy.PERMANENT,
        "This job_id already belongs to a job with other inputs: use a new job_id.",
    ),
    ErrorCode.NOT_FOUND: _entry(
        Stage.FETCH,
        Policy.PERMANENT,
        "Upload the object before the job is sent, and check bucket, key and region.",
    ),
    ErrorCode.INPUT_TOO_LARGE: _entry(
        Stage.FETCH, Policy.PERMANENT, "Send a smaller file, or have the operator raise the limit."
    ),
    ErrorCode.ACCESS_DENIED: _entry(
        Stage.FETCH,
        Policy.RETRY,
        "Give the worker's role s3:GetObject on this prefix and s3:ListBucket on the bucket "
        "(without the latter S3 answers 403 for a missing key).",
    ),
    ErrorCode.CREDENTIALS_EXPIRED: _entry(
        Stage.FETCH,
        Policy.RETRY,
        "The worker's AWS credentials are missing or expired: check the role and the host clock.",
    ),
    ErrorCode.STORAGE_UNAVAILABLE: _entry(
        Stage.FETCH, Policy.RETRY, "S3 did not answer or asked to slow down; it is tried again."
    ),
    ErrorCode.AUDIO_EMPTY: _entry(
        Stage.DECODE, Policy.PERMANENT, "The recording holds no samples: record it again."
    ),
    ErrorCode.AUDIO_INVALID: _entry(
        Stage.DECODE, Policy.PERMANENT, "Send WAV, FLAC, Ogg, MP3, m4a, mp4 or WebM audio."
    ),
    ErrorCode.AUDIO_TRUNCATED: _entry(
        Stage.DECODE, Policy.PERMANENT, "The file ends early: upload it again, whole."
    ),
    ErrorCode.AUDIO_NOT_FINITE: _entry(
        Stage.DECODE, Policy.PERMANENT, "The recording holds NaN or infinite samples: export again."
    ),
    ErrorCode.AUDIO_UNSUPPORTED: _entry(
        Stage.DECODE, Policy.PERMANENT, "Use a usual sample rate and at most eight channels."
    ),
    ErrorCode.AUDIO_TOO_LARGE: _entry(
        Stage.DECODE, Policy.PERMANENT, "Send a smaller file, or have the operator raise the limit."
    ),
    ErrorCode.AUDIO_TOO_LONG: _entry(
        Stage.DECODE, Policy.PERMANENT, "Send a shorter recording, of one line."
    ),
    ErrorCode.REFERENCE_INVALID: _entry(
        Stage.DECODE, Policy.PERMANENT, "Correct the TextGrid at the place that is named."
    ),
    ErrorCode.PITCH_INVALID: _entry(
        Stage.DECODE,
        Policy.PERMANENT,
        'Send pitch as [{"time": seconds, "hz": number or null}, …] in ascending time.',
    ),
    ErrorCode.TIMEOUT: _entry(
        Stage.ANALYSIS,
        Policy.RETRY_LIMITED,
        "The analysis did not end in time and was stopped; keep the recording to look into it.",
    ),
    ErrorCode.WORKER_LOST: _entry(
        Stage.ANALYSIS,
        Policy.RETRY_LIMITED,
        "The analysis process died (crash or out of memory); keep the recording to look into it.",
    ),
    ErrorCode.ANALYSIS_ERROR: _entry(
        Stage.ANALYSIS,
        Policy.RETRY_LIMITED,
        "The analysis failed on this input in a way nobody foresaw: report it with the job_id.",
    ),
    ErrorCode.WEBHOOK_GONE: _entry(
        Stage.DELIVER,
        Policy.PERMANENT,
        "The webhook answered 410 Gone: nothing more is sent to it.",
    ),
    ErrorCode.WEBHOOK_REJECTED: _entry(
        Stage.DELIVER,
        Policy.PERMANENT,
        "The webhook refused the event: check its address, its key and its body limit.",
    ),
    ErrorCode.WEBHOOK_UNAVAILABLE: _entry(
        Stage.DELIVER, Policy.RETRY, "The webhook did not answer with 2xx; it is tried again."
    ),
    ErrorCode.RESULTS_UNAVAILABLE: _entry(
        Stage.DELIVER,
        Policy.RETRY,
        "The results bucket did not take the result; it is tried again.",
    ),
    ErrorCode.RESULT_QUEUE_UNAVAILABLE: _entry(
        Stage.DELIVER, Policy.RETRY, "The results queue did not take the event; it is tried again."
    ),
    ErrorCode.JOB_TIMEOUT: _entry(
        Stage.ANALYSIS,
        Policy.RETRY,
        "The job was not settled within WORKER_JOB_TIMEOUT_S; look for a slow stage in its log.",
    ),
    ErrorCode.INTERNAL_ERROR: _entry(
        Stage.ANALYSIS, Policy.RETRY, "The worker itself failed: report it with the job_id."
    ),
    ErrorCode.RETRIES_EXHAUSTED: _entry(
        Stage.DELIVER,
        Policy.FINAL,
        "Every receive of this job failed; `cause` holds the last reason. Redrive it once mended.",
    ),
}


class JobFailure(Exception):
    """A job failed, for a reason with a code.

    Parameters
    ----------
    code
        What happened; policy and stage follow from it.
    message
        A sentence that names the thing, its value and what to do. Never a secret or a signed URL.
    stage
        Where, when it differs from the code's usual stage.
    retry_after_s
        The least wait before the next attempt, when the other side named one.
    cause
        The last real code behind `retries_exhausted`.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        stage: Stage | None = None,
        retry_after_s: float | None = None,
        cause: ErrorCode | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stage = stage or CODES[code].stage
        self.retry_after_s = retry_after_s
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def policy(self) -> Policy:
        """What is done about it."""
        return CODES[self.code].policy

    @property
    def retryable(self) -> bool:
        """Whether a later attempt may succeed."""
        return self.policy in (Policy.RETRY, Policy.RETRY_LIMITED)

    def exhausted(self) -> JobFailure:
        """What the last receive turns this failure into: the real code becomes the cause."""
        return JobFailure(
            ErrorCode.RETRIES_EXHAUSTED,
            f"No attempt is left. The last one failed with {self.code}: {self.message}",
            stage=self.stage,
            cause=self.code,
        )


class LeaseLost(Exception):
    """The visibility of a message ran out or the message came back: nothing may be settled."""


def has_attempts_left(failure: JobFailure, *, receive_count: int, max_receives: int | None) -> bool:
    """Whether a retryable failure may be tried again after this receive.

    `max_receives` is the queue's own maxReceiveCount, or None where no redrive policy is set.
    """
    if failure.policy is Policy.RETRY_LIMITED and receive_count >= MAX_RECEIVES_OF_A_LOST_PROCESS:
        return False
    return max_receives is None or receive_count < max_receives


_CREDENTIAL_CODES: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_MISSING_CODES: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404", "NotFound"})


def classify(error: BaseException, *, what: str = "the job") -> JobFailure:
    """Turn any exception into a JobFailure; the only place that decides.

    Parameters
    ----------
    error
        What was raised. A JobFailure passes through unchanged.
    what
        The thing that was worked on, for the message ("the recording s3://…").
    """
    if isinstance(error, JobFailure):
        return error
    # Analysis processes import this file for its codes, and need neither of these.
    import botocore.exceptions as boto
    import httpx

    if isinstance(error, boto.ClientError):
        return _classify_client_error(error, what)
    if isinstance(
        error,
        boto.NoCredentialsError | boto.CredentialRetrievalError | boto.PartialCredentialsError,
    ):
        return JobFailure(
            ErrorCode.CREDENTIALS_EXPIRED, f"No AWS credentials for {what}: {type(error).__name__}."
        )
    if isinstance(error, boto.BotoCoreError | ConnectionError | asyncio.IncompleteReadError):
        return JobFailure(
            ErrorCode.STORAGE_UNAVAILABLE, f"AWS did not answer for {what}: {type(error).__name__}."
        )
    if isinstance(error, httpx.HTTPError):
        return JobFailure(
            ErrorCode.WEBHOOK_UNAVAILABLE, f"The webhook failed for {what}: {type(error).__name__}."
        )
    if isinstance(error, TimeoutError):
        return JobFailure(ErrorCode.JOB_TIMEOUT, f"Time ran out for {what}.")
    return JobFailure(
        ErrorCode.INTERNAL_ERROR, f"{type(error).__name__} while working on {what}; see the log."
    )


def _classify_client_error(error: ClientError, what: str) -> JobFailure:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _CREDENTIAL_CODES:
        return JobFailure(
            ErrorCode.CREDENTIALS_EXPIRED, f"AWS refused the credentials for {what} ({code})."
        )
    if code in _MISSING_CODES or status == 404:
        return JobFailure(ErrorCode.NOT_FOUND, f"There is no {what} ({code or status}).")
    if status == 403 or code in {"AccessDenied", "403", "AccessDeniedException"}:
        return JobFailure(ErrorCode.ACCESS_DENIED, f"AWS denies access to {what} ({code}).")
    return JobFailure(
        ErrorCode.STORAGE_UNAVAILABLE, f"AWS failed for {what} ({code or 'no code'}, {status})."
    )
