from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from worker.health import HealthServer
from worker.metrics import Metrics
from worker.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def openmetrics_names(text: str) -> set[str]:
    return {family.name for family in openmetrics_families(text)}  # type: ignore[no-untyped-call]


def settings(port: int) -> Settings:
    return Settings.load(
        queue_url="http://127.0.0.1/1/jobs", health_port=port, health_host="127.0.0.1"
    )


class Worker:
    """What the server asks: whether it is alive and ready."""

    def __init__(self) -> None:
        self.dead: str | None = None
        self.busy: str | None = None
        self.fails: Callable[[], str | None] | None = None

    def alive(self) -> str | None:
        return self.fails() if self.fails else self.dead

    def ready(self) -> str | None:
        return self.busy


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def client(worker: Worker, metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    port = free_port()
    server = HealthServer(settings(port), metrics, alive=worker.alive, ready=worker.ready)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as made:
        yield made
    await server.stop()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_all_is_well(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "reason": None}


async def test_a_dead_worker_says_why(client: httpx.AsyncClient, worker: Worker) -> None:
    worker.dead = "one receive has been outstanding for 61 s"
    answer = await client.get("/livez")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": worker.dead}


async def test_a_draining_worker_is_alive_and_not_ready(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    worker.busy = "draining"
    assert (await client.get("/livez")).status_code == 200
    assert (await client.get("/readyz")).json()["reason"] == "draining"


async def test_a_check_that_breaks_is_not_alive_and_says_so(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    def broken() -> str | None:
        raise RuntimeError("no loop")

    worker.fails = broken
    answer = await client.get("/livez")
    assert answer.status_code == 503
    assert "RuntimeError: no loop" in answer.json()["reason"]


async def test_metrics_can_be_scraped(client: httpx.AsyncClient, metrics: Metrics) -> None:
    metrics.settled("completed")
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "analysis_worker_jobs_settled" in names
    assert "process_resident_memory_bytes" in names


async def test_metrics_are_given_as_openmetrics_to_those_who_ask(
    client: httpx.AsyncClient, metrics: Metrics
) -> None:
    metrics.settled("completed")
    answer = await client.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert "analysis_worker_jobs_settled" in openmetrics_names(answer.text)


async def test_anything_else_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).status_code == 404
    assert (await client.post("/livez")).status_code == 405


async def test_a_taken_port_names_the_setting(worker: Worker, metrics: Metrics) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = HealthServer(settings(port), metrics, alive=worker.alive, ready=worker.ready)
        with pytest.raises(OSError, match="WORKER_HEALTH_PORT"):
            await server.start()


async def test_port_0_serves_nothing(worker: Worker, metrics: Metrics) -> None:
    server = HealthServer(settings(0), metrics, alive=worker.alive, ready=worker.ready)
    await server.start()
    assert server._runner is None
    await server.stop()


async def test_the_port_is_free_again_after_a_stop(worker: Worker, metrics: Metrics) -> None:
    port = free_port()
    for _ in range(2):
        server = HealthServer(settings(port), metrics, alive=worker.alive, ready=worker.ready)
        await server.start()
        await server.stop()
