"""The manual of the settings: each one with its default and its meaning.

Read from the environment with the prefix `WORKER_`, and from a `.env` file. AWS settings
(endpoint, region, credentials) are the SDK's own.
"""

from __future__ import annotations

import os
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.quotas import MAX_VISIBILITY_S, MAX_WAIT_S

ECS_STOP_TIMEOUT_S: Final = 120
"""The longest stopTimeout that ECS gives a container on Fargate (ECS task definition reference)."""


class SettingsError(Exception):
    """The settings cannot be used; the text says which and what to do, one a line."""


def usable_cpus() -> int:
    """CPUs this process may use: the affinity mask, or less where the cgroup says so."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(allowed, quota) if quota else allowed)


def _cgroup_cpus() -> int | None:
    """The CPU quota of the cgroup (v2, then v1), rounded up; None without one."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123
            quota, period = file.read().split()
        if quota == "max":
            return None
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", encoding="ascii") as file:  # noqa: PTH123
            quota_us = int(file.read())
        with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us", encoding="ascii") as file:  # noqa: PTH123
            period_us = int(file.read())
    except (OSError, ValueError):
        return None
    return -(-quota_us // period_us) if quota_us > 0 else None


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Everything that can be set. One instance, made at start, is handed to those who need it."""

    model_config = SettingsConfigDict(
        env_prefix="WORKER_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        str_strip_whitespace=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    # --- queues
    queue_url: Names = Field(
        description="The main queue; more than one, comma-separated, highest priority first. "
        "`.fifo` at the end means FIFO rules.",
        min_length=1,
    )
    priority_reserve: float = Field(
        0.1, ge=0, le=0.5, description="The share of slots that lower queues are sure of."
    )
    visibility_timeout_s: int = Field(
        60,
        ge=3,
        le=MAX_VISIBILITY_S,
        description="The lease, passed with each receive; renewed every third of it, never past "
        "JOB_TIMEOUT_S.",
    )
    wait_time_s: int = Field(20, ge=0, le=MAX_WAIT_S, description="Long poll.")
    retry_delay_s: float = Field(
        60, gt=0, description="The first back-off, by changing the message's visibility."
    )
    retry_max_delay_s: float = Field(
        900,
        gt=0,
        le=MAX_VISIBILITY_S,
        description="The longest back-off; doubling, with jitter. A consumer may ask for a longer "
        "one (Retry-After).",
    )

    # --- storage
    default_bucket: str | None = Field(None, description="The bucket for bare keys.")
    reference_prefix: str | None = Field(
        None,
        description="Where {video_id}/textgrid.TextGrid and {video_id}/pitch.json lie, for "
        "messages that name neither: s3://bucket/prefix/, or a prefix in DEFAULT_BUCKET.",
    )
    allowed_buckets: Names = Field(
        (), description="Buckets a job may name; none = any that IAM allows."
    )
    results_bucket: str | None = Field(
        None, description="Where results are kept, one for each job_id."
    )
    results_prefix: str = Field("results/", description="The prefix of results in that bucket.")
    result_cache: bool = Field(
        True, description="Answer equal inputs from an earlier result (with a results bucket)."
    )
    result_queue_url: str | None = Field(None, description="Results go to this queue too.")

    # --- analysis
    concurrency: int = Field(
        default_factory=usable_cpus,
        ge=1,
        le=256,
        description="Analysis processes, one slot each. Default: the CPUs of the cgroup or the "
        "affinity mask.",
    )
    analysis_timeout_s: float = Field(
        30, gt=0, description="Plus the recording's seconds: one analysis."
    )
    job_timeout_s: float = Field(
        600,
        gt=0,
        le=MAX_VISIBILITY_S,
        description="One receive of a job, from receipt to settlement.",
    )
    child_max_jobs: int = Field(
        1000, ge=1, description="Jobs after which an analysis process is replaced."
    )
    child_max_mb: int = Field(
        1024, ge=64, description="Resident memory (MB) above which an analysis process is replaced."
    )
    max_audio_mb: float = Field(25, gt=0, description="Larger input is refused while it is read.")
    max_audio_s: float = Field(
        120, gt=0, le=3600, description="Longer input is refused while it is decoded."
    )
    analysis_profile: Literal["accurate", "fast"] = Field(
        "accurate", description="`fast` gives up some accuracy for time."
    )
    handlers: Names = Field(
        (),
        description="Modules to import at start that register handlers for further job types.",
    )

    # --- webhooks
    delivery_concurrency: int = Field(
        32,
        ge=1,
        description="Events on their way at once; a slot is free again as soon as its job is "
        "scored.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="`whsec_…`; two, space-separated, while a key is rotated; or the ARN of a "
        "secret, read at start and again on rotation. None: unsigned, with a warning at start.",
    )
    webhook_allowed_hosts: Names = Field(
        (), description="Exact names or `.suffix`; none = any public host."
    )
    webhook_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        description="CIDRs of private consumers (a backend in the same VPC); link-local and "
        "metadata addresses never.",
    )
    webhook_allow_http: bool = Field(False, description="Plain http, not only https.")
    webhook_allow_private: bool = Field(
        False,
        description="Loopback and every private network, and http; for local work only.",
    )
    webhook_timeout_s: float = Field(
        15, gt=0, description="One attempt, from connect to the last byte."
    )
    webhook_max_rps: float | None = Field(
        None, gt=0, description="Deliveries a second to one host."
    )
    progress_events: bool = Field(
        False, description="Also send analysis.progress (a job's own `progress` overrides it)."
    )

    # --- the process
    shutdown_grace_s: float = Field(
        90, ge=0, description="After SIGTERM; WAIT_TIME_S + this stays under ECS's 120 s."
    )
    health_port: int = Field(
        8080, ge=0, le=65535, description="/livez, /readyz, /metrics; 0 = off."
    )
    health_host: str = Field("0.0.0.0", description="The address that the health port is bound to.")  # noqa: S104
    metrics_emf: bool = Field(False, description="CloudWatch Embedded Metric Format on stdout.")
    metrics_queue_depth: bool = Field(
        False, description="Also export queue depths: one call in five minutes for each queue."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least level that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="`console` for people.")

    @field_validator("queue_url", "allowed_buckets", "handlers", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return _split(value)

    @field_validator("webhook_allowed_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        parts = _split(value)
        return tuple(str(part).lower() for part in parts) if isinstance(parts, tuple) else parts

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        parts = _split(value)
        if isinstance(parts, tuple):
            return tuple(ip_network(part) if isinstance(part, str) else part for part in parts)
        return parts

    @field_validator("queue_url")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not url.startswith(("https://", "http://")):
                raise ValueError(f"{url!r} is no queue URL: it begins with https://")
        if len(set(value)) != len(value):
            raise ValueError("the same queue is named twice")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("results_prefix")
    @classmethod
    def _ends_with_slash(cls, value: str) -> str:
        return value if not value or value.endswith("/") else value + "/"

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.retry_max_delay_s < self.retry_delay_s:
            raise ValueError(
                f"WORKER_RETRY_MAX_DELAY_S ({self.retry_max_delay_s:g}) is below "
                f"WORKER_RETRY_DELAY_S ({self.retry_delay_s:g})"
            )
        return self

    @cached_property
    def drain_s(self) -> float:
        """The longest that a stop takes: a running long poll, then the grace."""
        return self.wait_time_s + self.shutdown_grace_s

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings.

        Raises
        ------
        SettingsError
            One line for each setting that is missing or wrong, with its name in the environment.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = "WORKER_" + "_".join(str(part) for part in item["loc"][:1]).upper()
        message = item["msg"].removeprefix("Value error, ")
        if not item["loc"]:
            lines.append(message)
        elif item["type"] == "missing":
            lines.append(
                f"{name} is required: {Settings.model_fields[str(item['loc'][0])].description}"
            )
        else:
            lines.append(f"{name}: {message}")
    return "\n".join(lines)
