"""What a check found: one line, and in words what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["ok", "warn", "fail", "skip"]

NOT_REACHED: Final = (
    "Check AWS_REGION and AWS_ENDPOINT_URL, and that the subnet reaches AWS: a NAT gateway or "
    "VPC endpoints for SQS and S3, and a security group that lets 443 out."
)
NO_CREDENTIALS: Final = (
    "Give the process a role (ECS task role, EC2 instance profile), or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY."
)

_FIXES: Final[Mapping[str, str]] = {
    "InvalidClientTokenId": "The access key is unknown to AWS: mistyped, deleted, or of another "
    "partition.",
    "UnrecognizedClientException": "The access key is unknown to AWS: mistyped, deleted, or of "
    "another partition.",
    "InvalidAccessKeyId": "The access key is unknown to AWS: mistyped or deleted.",
    "SignatureDoesNotMatch": "The secret access key does not belong to the access key, or this "
    "machine's clock is off.",
    "ExpiredToken": "The session token has expired: renew it, or use a role that renews itself.",
    "ExpiredTokenException": "The session token has expired: renew it, or use a role that renews "
    "itself.",
    "RequestTimeTooSkewed": "This machine's clock is off: run chrony or systemd-timesyncd.",
    "RequestExpired": "This machine's clock is off: run chrony or systemd-timesyncd.",
    "PermanentRedirect": "The bucket is in another region: set AWS_REGION to it.",
    "AuthorizationHeaderMalformed": "The bucket is in another region: set AWS_REGION to it.",
    "301": "The bucket is in another region: set AWS_REGION to it.",
    "KMS.DisabledException": "The queue's KMS key is disabled: enable it.",
    "KmsDisabled": "The queue's KMS key is disabled: enable it.",
}
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "403", "KmsAccessDenied"}
)
_MISSING: Final = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NoSuchBucket",
        "404",
        "NotFound",
    }
)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    state: State
    detail: str
    fix: str | None = None

    def line(self) -> str:
        """The check as one line."""
        mark = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}[self.state]
        text = f"{mark}  {self.name}: {self.detail}"
        if self.fix:
            text += f" — {self.fix}"
        return " ".join(text.splitlines())


def code_of(error: BaseException) -> str:
    """AWS's own code for a refusal; empty for any other error."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def is_denied(error: BaseException) -> bool:
    """Whether AWS refused for want of a permission."""
    return code_of(error) in _DENIED


def is_missing(error: BaseException) -> bool:
    """Whether there is no such thing."""
    return code_of(error) in _MISSING


def failed(
    name: str,
    error: BaseException,
    *,
    permission: str = "",
    missing: str = "",
    state: State = "fail",
) -> Finding:
    """Put AWS's refusal in words.

    Parameters
    ----------
    permission
        What the role needs for this check.
    missing
        What to do if there is no such thing.
    """
    if isinstance(error, ClientError):
        code = code_of(error)
        message = str(error.response.get("Error", {}).get("Message", ""))[:300]
        detail = f"{error.operation_name} was refused: {code} {message}".strip()
        if code in _FIXES:
            return Finding(name, state, detail, _FIXES[code])
        if is_denied(error):
            return Finding(name, state, detail, f"Give the worker's role {permission}.")
        if is_missing(error):
            return Finding(name, state, detail, missing)
        return Finding(name, state, detail, "See the AWS message.")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Finding(name, state, str(error), NO_CREDENTIALS)
    if isinstance(
        error,
        EndpointConnectionError | ConnectTimeoutError | ReadTimeoutError | OSError | TimeoutError,
    ):
        return Finding(name, state, str(error) or type(error).__name__, NOT_REACHED)
    if isinstance(error, BotoCoreError):
        return Finding(name, state, str(error), NOT_REACHED)
    return Finding(name, state, f"{type(error).__name__}: {error}", "Report this with its text.")
