"""Numbers and names that infra/ and the worker both have are the same in both."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.infra.hcl import INFRA, default, files
from worker.emf import EmfWriter
from worker.failures import MAX_RECEIVES_OF_A_LOST_PROCESS, ErrorCode
from worker.metrics import STAGES, Metrics
from worker.settings import ECS_STOP_TIMEOUT_S, Settings

ROOT = INFRA.parent
OBSERVABILITY = (INFRA / "modules" / "observability" / "main.tf").read_text(encoding="utf-8")
NAMES_OF_SETTINGS = {f"WORKER_{name.upper()}" for name in Settings.model_fields}


def setting(name: str) -> Any:
    return Settings.model_fields[name].get_default()


def test_the_queues_visibility_timeout_is_the_workers_lease() -> None:
    assert default("queues", "visibility_timeout_seconds") == setting("visibility_timeout_s")
    assert default("service", "visibility_timeout_s") == setting("visibility_timeout_s")


def test_the_long_poll_is_the_workers() -> None:
    assert default("queues", "receive_wait_time_seconds") == setting("wait_time_s")
    assert default("service", "wait_time_s") == setting("wait_time_s")


def test_ecs_waits_longer_for_a_stop_than_the_worker_takes() -> None:
    grace_s = default("service", "shutdown_grace_s")
    assert grace_s == setting("shutdown_grace_s")
    assert default("service", "wait_time_s") + grace_s < default("service", "stop_timeout_s")
    assert default("service", "stop_timeout_s") == ECS_STOP_TIMEOUT_S


def test_a_crashing_job_has_a_receive_left_to_say_so() -> None:
    assert default("queues", "max_receive_count") == 6
    assert default("queues", "max_receive_count") > MAX_RECEIVES_OF_A_LOST_PROCESS


def test_a_child_is_replaced_where_the_tasks_memory_says() -> None:
    assert default("service", "child_max_mb") == setting("child_max_mb")


def test_the_health_port_is_the_workers_and_the_images() -> None:
    assert default("service", "health_port") == setting("health_port")
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"EXPOSE {setting('health_port')}" in dockerfile


def test_the_container_runs_as_the_images_user() -> None:
    uid = int(default("service", "container_uid"))
    assert f"USER {uid}:{uid}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        *files(".tf", ".tftpl", ".service", ".example", ".md"),
        *(ROOT / name for name in ("compose.yaml", "Dockerfile", "docs/deploy.md")),
    ],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bWORKER_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert named - NAMES_OF_SETTINGS == set()


def test_compose_runs_the_worker_hardened_and_lets_it_drain() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    worker = compose["services"]["worker"]
    assert worker["deploy"]["replicas"] == 2
    assert worker["read_only"]
    assert worker["cap_drop"] == ["ALL"]
    assert worker["stop_grace_period"] == f"{ECS_STOP_TIMEOUT_S}s"


def lines_that_the_worker_writes() -> list[dict[str, Any]]:
    """One of each kind of line in Embedded Metric Format, as the metrics room writes them."""
    stream = io.StringIO()
    metrics = Metrics(emf=(writer := EmfWriter(stream)))
    metrics.settled("completed")
    metrics.settled("retried", str(ErrorCode.WORKER_LOST))
    metrics.settled("dead_lettered", str(ErrorCode.TIMEOUT))
    metrics.lease_lost("expired")
    metrics.webhook_attempt("2xx")
    metrics.webhook_attempt("5xx")
    for stage in STAGES:
        metrics.job_duration(stage, 0.1)
    writer.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Evaluate the part of CloudWatch's filter patterns that the module uses."""
    condition = re.compile(r'\$\.(\w+) (=|!=|>) ("[^"]*"|\d+)')

    def verdict(found: re.Match[str]) -> str:
        name, sign, text = found.groups()
        if name not in line:
            return "False"
        value, wanted = line[name], json.loads(text)
        return str({"=": value == wanted, "!=": value != wanted, ">": value > wanted}[sign])

    logic = condition.sub(verdict, pattern.strip("{} ")).replace("&&", "and").replace("||", "or")
    assert re.fullmatch(r"(True|False|and|or|[() ])+", logic), logic
    return bool(eval(logic))


def log_metrics() -> dict[str, tuple[str, str]]:
    """Name, pattern and value of each metric filter."""
    found = re.findall(
        r'^    (\w+)\s+= \{ pattern = "((?:[^"\\]|\\.)*)", value = "([^"]*)" \}$',
        OBSERVABILITY,
        re.MULTILINE,
    )
    return {name: (json.loads(f'"{pattern}"'), value) for name, pattern, value in found}


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("JobsCompleted", 1),
        ("JobsDeadLettered", 1),
        ("JobsRetried", 1),
        ("JobsCrashed", 2),
        ("LeasesLost", 1),
        ("WebhookAttempts", 2),
        ("WebhookFailures", 1),
    ],
)
def test_a_metric_filter_counts_what_the_worker_logs(name: str, seen: int) -> None:
    pattern, value = log_metrics()[name]
    lines = [line for line in lines_that_the_worker_writes() if matches(pattern, line)]
    assert sum(line[value.removeprefix("$.")] for line in lines) == seen


def test_error_lines_are_counted_by_their_level() -> None:
    pattern, value = log_metrics()["ErrorLines"]
    assert value == "1"
    assert matches(pattern, {"level": "error", "event": "delete_failed"})
    assert matches(pattern, {"level": "critical", "event": "x"})
    assert not matches(pattern, {"level": "warning", "event": "x"})


def test_the_dashboard_charts_every_stage() -> None:
    charted = re.search(r"for stage in (\[[^\]]*\])", OBSERVABILITY)
    assert charted
    assert json.loads(charted[1]) == list(STAGES)


def test_every_metric_filter_is_tried_here() -> None:
    assert len(log_metrics()) == OBSERVABILITY.count("pattern = ")


def deployer_policy() -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(
        (INFRA / "deployer-policy.json").read_text(encoding="utf-8")
    )
    return policy


def resources_of(action: str) -> list[str]:
    """What the deployer may do this to."""
    found = [s["Resource"] for s in deployer_policy()["Statement"] if action in s["Action"]]
    return [arn for some in found for arn in ([some] if isinstance(some, str) else some)]


def test_the_deployers_policy_fits_a_role_and_names_its_actions() -> None:
    policy = deployer_policy()
    assert (
        len(json.dumps(policy, separators=(",", ":"))) < 10_240
    )  # IAM's limit for inline policies
    actions = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert len(actions) == len(set(actions))
    assert not [action for action in actions if "*" in action]


@pytest.mark.parametrize("action", ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"])
def test_target_tracking_may_make_its_own_alarms(action: str) -> None:
    """Application Auto Scaling tries both as the deployer, without naming an alarm."""
    assert resources_of(action) == ["*"]


@pytest.mark.parametrize(
    "action",
    [
        *("kms:DescribeKey", "kms:CreateGrant", "kms:RetireGrant"),  # a repository with a key
        *("kms:GenerateDataKey", "kms:Decrypt"),  # a secret's value
    ],
)
def test_the_deployer_may_use_the_key_that_is_brought(action: str) -> None:
    assert resources_of(action) == ["arn:aws:kms:REGION:ACCOUNT:key/KEY"]


def test_the_deployer_may_give_endpoints_their_private_names() -> None:
    assert resources_of("route53:AssociateVPCWithHostedZone") == ["arn:aws:route53:::hostedzone/*"]


def test_every_provider_takes_the_size_of_a_dead_letter() -> None:
    """A max_message_size of 1 MiB is refused by providers before 6.8."""
    texts = [path.read_text(encoding="utf-8") for path in files("versions.tf")]
    floors = re.findall(r'^ +version = "(.*?)"', "\n".join(texts), re.MULTILINE)
    assert len(floors) == len(texts)
    assert set(floors) == {">= 6.8, < 7.0"}
