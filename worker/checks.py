"""All checks in order, each one line with its fix; a failure does not stop those after it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import orjson
from aiobotocore.session import AioSession, get_session

from worker.audio_analysis import MB, AudioRequest, analyse, warm_up
from worker.aws import endpoint_url, region
from worker.aws_checks import AwsChecks
from worker.ecs import AGENT_URI_VARIABLE, STATE_PATH
from worker.failures import JobFailure
from worker.findings import Finding
from worker.handlers import Analysed
from worker.metrics import Metrics
from worker.netguard import NetGuard
from worker.pool import AnalysisPool
from worker.secrets import WebhookKeys
from worker.settings import ECS_STOP_TIMEOUT_S, Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL_TIMEOUT_S: Final = 120.0
AGENT_TIMEOUT_S: Final = 3.0
MAX_REPAIRS: Final = 20

Clock = Callable[[], float]


async def run_checks(
    *, clock: Clock = time.time, with_model: bool = True, session: AioSession | None = None
) -> AsyncIterator[Finding]:
    """Run every check, as far as the settings allow.

    Parameters
    ----------
    clock
        This machine's time, Unix seconds.
    with_model
        Also start an analysis process and score the recording that comes with the package.
    """
    settings, findings = load_as_far_as_possible()
    for finding in findings:
        yield finding
    yield _region()
    async with AwsChecks.open(session or get_session(), clock=clock) as aws:
        yield await aws.credentials()
        for finding in await aws.identity():
            yield finding
        if settings is None:
            yield Finding("queues and buckets", "skip", "not looked at: see the settings above")
        else:
            for url in settings.queue_url:
                for finding in await aws.queue(url):
                    yield finding
            if settings.result_queue_url:
                yield await aws.result_queue(settings.result_queue_url)
            for finding in await aws.buckets(settings):
                yield finding
    if settings is not None:
        yield await _secret(settings, session or get_session())
        for finding in (*_webhook_rules(settings), *_drain(settings)):
            yield finding
    if with_model:
        yield await _model(settings)
    yield await _ecs_agent()


def load_as_far_as_possible() -> tuple[Settings | None, list[Finding]]:
    """Load the settings; the wrong ones are named and left out, so that the others are checked."""
    findings: list[Finding] = []
    wrong: list[str] = []
    for _ in range(MAX_REPAIRS):
        try:
            with _without(wrong):
                settings = Settings.load()
        except SettingsError as error:
            lines = str(error).splitlines()
            findings += [_setting(line) for line in lines if _setting(line) not in findings]
            named = [line.partition(":")[0].split()[0] for line in lines]
            fresh = [name for name in named if name in os.environ and name not in wrong]
            if not fresh:
                return None, findings
            wrong += fresh
        else:
            if not findings:
                count = sum(name.startswith("WORKER_") for name in os.environ)
                findings.append(Finding("settings", "ok", f"{count} set in the environment"))
            return settings, findings
    return None, findings


def _setting(line: str) -> Finding:
    """One line of a SettingsError, which begins with the setting's name."""
    first = line.split(maxsplit=1)[0].rstrip(":")
    if not first.startswith("WORKER_"):
        return Finding("settings", "fail", line, "Make the two fit together.")
    problem = line.removeprefix(first).lstrip(": ")
    fix = "Set it." if problem.startswith("is required") else "Correct it, or unset it."
    return Finding(f"settings {first}", "fail", problem, fix)


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Hide some variables of the environment for a moment."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _region() -> Finding:
    said = next((n for n in ("AWS_REGION", "AWS_DEFAULT_REGION") if os.environ.get(n)), None)
    where = f", through {endpoint_url()}" if endpoint_url() else ""
    if said:
        return Finding("region", "ok", f"{region()} from {said}{where}")
    configured = get_session().get_config_variable("region")
    if configured:
        return Finding("region", "ok", f"{configured} from the AWS config file{where}")
    if endpoint_url():
        return Finding("region", "ok", f"none set, so {region()}{where}")
    return Finding("region", "warn", f"none set, so {region()}", "Set AWS_REGION.")


async def _secret(settings: Settings, session: AioSession) -> Finding:
    fix = (
        "Set WORKER_WEBHOOK_SECRET to whsec_ and 24 to 64 bytes in base64: openssl rand -base64 32."
    )
    try:
        keys = await WebhookKeys.load(settings, session)
    except SettingsError as error:
        return Finding("webhook secret", "fail", str(error), fix)
    if keys is None:
        return Finding("webhook secret", "warn", "none: events are unsigned", fix)
    return Finding("webhook secret", "ok", f"{keys.count} in use")


def _webhook_rules(settings: Settings) -> list[Finding]:
    NetGuard.from_settings(settings)
    if settings.webhook_allow_private:
        fix = "Unset WORKER_WEBHOOK_ALLOW_PRIVATE outside local work."
        return [Finding("webhook addresses", "warn", "loopback and private ones are allowed", fix)]
    hosts = ", ".join(settings.webhook_allowed_hosts) or "any public host"
    return [Finding("webhook addresses", "ok", hosts)]


def _drain(settings: Settings) -> list[Finding]:
    if settings.drain_s < ECS_STOP_TIMEOUT_S:
        return []
    return [
        Finding(
            "drain",
            "warn",
            f"a stop may take {settings.drain_s:g} s; ECS kills after {ECS_STOP_TIMEOUT_S}",
            "Lower WORKER_WAIT_TIME_S or WORKER_SHUTDOWN_GRACE_S.",
        )
    ]


async def _model(settings: Settings | None) -> Finding:
    """Start an analysis process as the worker does, and score the recording of the package."""
    name = "analysis"
    fix = "Install the package again; on a bare image, libgomp1 and libsndfile1 may be missing."
    folder = files("worker") / "data" / "check"
    request = AudioRequest(
        audio=(folder / "recording.m4a").read_bytes(),
        textgrid=(folder / "reference.TextGrid").read_bytes(),
        pitch=(folder / "pitch.json").read_bytes(),
        reference_audio=None,
        text=None,
        profile=settings.analysis_profile if settings else "accurate",
        max_audio_bytes=25 * MB,
        max_audio_s=120.0,
    )
    pool = AnalysisPool(1, warm_ups=[warm_up], max_jobs=10, max_mb=4096, metrics=Metrics())
    started = time.monotonic()
    try:
        await pool.start()
        warm_s = time.monotonic() - started
        started = time.monotonic()
        analysed = await pool.run(analyse, request, MODEL_TIMEOUT_S)
        score_ms = (time.monotonic() - started) * 1000
    except JobFailure as failure:
        return Finding(name, "fail", str(failure), fix)
    finally:
        await pool.stop()
    if not isinstance(analysed, Analysed):
        return Finding(name, "fail", f"{analysed.code}: {analysed.message}", fix)
    overall = orjson.loads(analysed.result)["scores"]["overall"]
    return Finding(
        name,
        "ok",
        f"warm in {warm_s:.1f} s, the recording of the package scored {overall} in "
        f"{score_ms:.0f} ms",
    )


async def _ecs_agent() -> Finding:
    """Whether the ECS agent answers; outside ECS there is none."""
    import httpx

    uri = os.environ.get(AGENT_URI_VARIABLE)
    if not uri:
        return Finding("ECS agent", "skip", "not in ECS")
    fix = "Give the task role ecs:UpdateTaskProtection and ecs:GetTaskProtection on the task."
    try:
        async with httpx.AsyncClient(timeout=AGENT_TIMEOUT_S, trust_env=False) as http:
            answer = (await http.get(uri.rstrip("/") + STATE_PATH)).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Finding("ECS agent", "warn", f"does not answer: {type(error).__name__}", fix)
    for block in ("failure", "error"):
        if isinstance(answer, dict) and answer.get(block):
            return Finding("ECS agent", "warn", str(answer[block])[:300], fix)
    return Finding("ECS agent", "ok", "answers; scale-in protection can be set")
