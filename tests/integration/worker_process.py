"""The worker as people run it: a process of its own, told things by settings and signals alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.integration.account import CREDENTIALS, REGION
from tests.integration.inbox import SECRET
from tests.integration.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]

START_S = 60.0
"""A start on a loaded machine with cold caches; warm and alone it is two seconds."""

DEFAULTS = {
    "WORKER_CONCURRENCY": "1",
    "WORKER_WAIT_TIME_S": "1",
    "WORKER_RETRY_DELAY_S": "1",
    "WORKER_RETRY_MAX_DELAY_S": "2",
    "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
    "WORKER_WEBHOOK_SECRET": SECRET,
    "WORKER_HANDLERS": "tests.integration.light_jobs",
    "WORKER_HEALTH_HOST": "127.0.0.1",
}


class WorkerProcess:
    """`python -m worker run` in a folder of its own.

    Parameters
    ----------
    settings
        By name without the prefix; they win over those that suit most tests.
    env_file
        What lies in its folder as `.env`.
    environment
        Further variables; an empty value takes one away.
    """

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        queues: str,
        *,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        env_file: str | None = None,
        **settings: object,
    ) -> None:
        self.folder = folder
        if env_file is not None:
            self.write_env_file(env_file)
        self.health_port = free_port()
        self._log_path = folder / "worker.log"
        self._error_path = folder / "worker.err"
        variables = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",
            "NUMBA_CPU_NAME": "generic",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **CREDENTIALS,
            **DEFAULTS,
            "WORKER_QUEUE_URL": queues,
            "WORKER_HEALTH_PORT": str(self.health_port),
            **{f"WORKER_{name.upper()}": str(value) for name, value in settings.items()},
            **(environment or {}),
        }
        with self._log_path.open("wb") as log, self._error_path.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run", *arguments],
                cwd=folder,
                env={name: value for name, value in variables.items() if value},
                stdout=log,
                stderr=errors,
                start_new_session=True,
            )

    def write_env_file(self, text: str) -> None:
        """Write the settings file that it reads at start and at SIGHUP."""
        (self.folder / ".env").write_text(text, encoding="utf-8")

    # --- what it says

    def logs(self, event: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """The log lines so far; those of one event, with these fields."""
        lines = []
        for line in self._log_path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
        return [
            line
            for line in lines
            if (event is None or line.get("event") == event)
            and all(line.get(name) == value for name, value in fields.items())
        ]

    def wait_for_log(
        self, event: str, *, count: int = 1, within_s: float = 30, **fields: object
    ) -> list[dict[str, Any]]:
        """Wait until an event was logged so often."""

        def enough() -> list[dict[str, Any]] | None:
            found = self.logs(event, **fields)
            if len(found) < count and self.process.poll() is not None:
                raise AssertionError(
                    f"the worker ended with {self.process.returncode} before {event}: {self.tail()}"
                )
            return found if len(found) >= count else None

        return wait_for(
            enough, within_s=within_s, what=f"log line {event} {fields}", seen=self.tail
        )

    def tail(self) -> str:
        """The last of what it said."""
        said = self._log_path.read_text(encoding="utf-8", errors="replace")[-4000:]
        return said + self._error_path.read_text(encoding="utf-8", errors="replace")[-4000:]

    def wait_until_ready(self) -> WorkerProcess:
        """Wait until it takes jobs."""
        self.wait_for_log("ready", within_s=START_S)
        return self

    def ask(self, path: str, *, timeout_s: float = 5) -> tuple[int, str]:
        """Ask the health port: status code and text; 0 if it does not answer."""
        url = f"http://127.0.0.1:{self.health_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        from prometheus_client.parser import text_string_to_metric_families

        _, text = self.ask("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    # --- its processes

    @property
    def pid(self) -> int:
        """The process id of the I/O process."""
        return self.process.pid

    def children(self) -> list[psutil.Process]:
        """The analysis processes."""
        found = []
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # ended, or a zombie by now
                if any("spawn_main" in part for part in child.cmdline()):
                    found.append(child)
        return found

    def rss_mb(self) -> float:
        """Resident memory of the I/O process."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def wait_for_metric(
        self, name: str, value: float, *, within_s: float = 30, **labels: str
    ) -> None:
        """Wait until a metric's samples sum up to a value."""
        wait_for(
            lambda: self.metric(name, **labels) == value,
            within_s=within_s,
            what=f"{name} {labels} = {value:g}",
            seen=lambda: self.metric(name, **labels),
        )

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the I/O process alone, as an orchestrator does."""
        self.process.send_signal(number)

    def wait(self, *, within_s: float = 30) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker still runs: {self.tail()}") from None

    def stop(self, *, within_s: float = 30) -> int:
        """Ask it to stop and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.tell(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def destroy(self) -> None:
        """End it and all it started, whatever state it is in."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
