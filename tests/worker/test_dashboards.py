"""Dashboard and alerts against a real Prometheus that scrapes a real worker's health port."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # no stubs among our packages
from prometheus_client.parser import text_string_to_metric_families

from worker.health import HealthServer
from worker.metrics import PREFIX, STAGES, Metrics
from worker.settings import Settings

REPOSITORY = Path(__file__).parents[2]
DASHBOARDS = REPOSITORY / "infra" / "dashboards"
RUNBOOK = REPOSITORY / "docs" / "runbook.md"

# Nothing is in these until something has gone wrong for a while.
QUIET_AT_FIRST = frozenset({"Dead letters by code", "Dead-lettered in an hour"})


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DASHBOARDS / "grafana.json").read_text())
    return loaded


def targets() -> list[tuple[str, str]]:
    return [
        (panel["title"], target["expr"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((DASHBOARDS / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: apt-get install prometheus)")
    return found


# --- the files themselves


def test_panels_have_a_title_a_description_and_room() -> None:
    seen: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        assert panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & seen, f"{panel['title']} lies over another panel"
        seen |= cells
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["targets"]


def test_the_dashboard_can_be_provisioned() -> None:
    loaded = dashboard()
    assert loaded["uid"] == "analysis-worker"
    assert "id" not in loaded, "an id belongs to one Grafana"
    assert "__inputs" not in loaded, "inputs are asked for by hand"
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(ids) == len(set(ids))
    sources = {panel["datasource"]["uid"] for panel in loaded["panels"] if panel["type"] != "row"}
    assert sources == {"${datasource}"}


def test_every_metric_in_a_panel_or_rule_is_one_that_a_worker_exports() -> None:
    from prometheus_client import generate_latest

    exported = {
        sample.name
        for family in text_string_to_metric_families(
            generate_latest(busy_metrics().registry).decode()
        )
        for sample in family.samples
    }
    expressions = [expr for _, expr in targets()] + [rule["expr"] for rule in rules()]
    used = {
        name
        for expression in expressions
        for name in re.findall(rf"\b(?:{PREFIX}|process)_[a-z_]+", expression)
    }
    assert used
    assert used - exported == set()


def test_every_alert_has_a_severity_a_summary_and_a_place_in_the_runbook() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in RUNBOOK.read_text().splitlines()
        if line.startswith("#")
    }
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        page, _, heading = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/runbook.md"
        assert heading in headings, rule["alert"]


# --- as Prometheus has them


def test_promtool_accepts_the_rules_and_their_own_tests_pass() -> None:
    promtool = need("promtool")
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        shown = subprocess.run(
            [promtool, *arguments], cwd=DASHBOARDS, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stdout + shown.stderr


def test_every_alert_has_a_test_that_fires_it() -> None:
    tested = (DASHBOARDS / "alerts_test.yml").read_text()
    for rule in rules():
        assert f'alertname="{rule["alert"]}"' in tested


def busy_metrics() -> Metrics:
    metrics = Metrics()
    metrics.slots(4, 2)
    metrics.in_flight(3)
    metrics.breaker_state(0)
    metrics.queue_depth("jobs", visible=3, in_flight=2, delayed=0)
    work(metrics)
    return metrics


def work(metrics: Metrics) -> None:
    """Something of everything, as a busy worker counts it."""
    metrics.received("jobs", 2, 0.7)
    metrics.settled("completed")
    metrics.settled("retried", "webhook_unavailable")
    metrics.settled("dead_lettered", "not_found")
    for stage in STAGES:
        metrics.job_duration(stage, 0.3)
    metrics.lease_renewed(2)
    metrics.lease_lost("expired")
    metrics.child_restarted("max_jobs")
    metrics.webhook_attempt("2xx")
    metrics.webhook_attempt("5xx")
    metrics.sqs_call("ReceiveMessage", True)
    metrics.sqs_call("SendMessage", False)
    metrics.delivered("webhook")
    metrics.ecs_protection_failed()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A real Prometheus: its address, and the port that it scrapes."""
    program = need("prometheus")
    worker_port, port = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DASHBOARDS / "alerts.yml")],
        "scrape_configs": [
            {"job_name": "worker", "static_configs": [{"targets": [f"127.0.0.1:{worker_port}"]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    yield f"http://127.0.0.1:{port}", worker_port
    process.terminate()
    process.wait(timeout=30)


async def test_every_expression_shows_something_of_a_real_worker(
    prometheus: tuple[str, int],
) -> None:
    address, worker_port = prometheus
    metrics = busy_metrics()
    settings = Settings.load(
        queue_url="http://127.0.0.1/1/jobs", health_port=worker_port, health_host="127.0.0.1"
    )
    server = HealthServer(settings, metrics, alive=lambda: None, ready=lambda: None)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=10) as http:
            await scraped(http, metrics)
            assert await all_rules_are_evaluated(http) == len(rules())
            empty = []
            for title, expression in targets():
                shown = await query(http, expression)
                if not shown:
                    empty.append(title)
            assert set(empty) <= QUIET_AT_FIRST
            for rule in rules():
                await query(http, rule["expr"])  # fails if Prometheus refuses it
    finally:
        await server.stop()


async def scraped(http: httpx.AsyncClient, metrics: Metrics) -> None:
    """Keep the worker busy until several scrapes have seen it."""
    until = time.monotonic() + 60
    expression = f"count_over_time({PREFIX}_slots[1m])"
    while time.monotonic() < until:
        work(metrics)
        try:
            found = await query(http, expression)
        except httpx.HTTPError:
            found = []
        if found and float(found[0]["value"][1]) >= 4:
            return
        await asyncio.sleep(0.2)
    raise AssertionError("Prometheus has not scraped the worker within a minute")


async def query(http: httpx.AsyncClient, expression: str) -> list[Any]:
    filled = (
        expression.replace("$__rate_interval", "1m")
        .replace("$instance", ".*")
        .replace("$stage", "total")
    )
    answer = await http.get("/api/v1/query", params={"query": filled})
    if answer.status_code == 400:
        raise AssertionError(f"{expression}: {answer.json()['error']}")
    answer.raise_for_status()
    found: list[Any] = answer.json()["data"]["result"]
    return found


async def all_rules_are_evaluated(http: httpx.AsyncClient) -> int:
    """How many rules Prometheus holds for well."""
    until = time.monotonic() + 30
    healths: list[str] = []
    while time.monotonic() < until:
        groups = (await http.get("/api/v1/rules")).json()["data"]["groups"]
        healths = [rule["health"] for group in groups for rule in group["rules"]]
        if healths and "unknown" not in healths:
            break
        await asyncio.sleep(0.2)
    assert set(healths) == {"ok"}
    return len(healths)
