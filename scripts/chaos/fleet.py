"""Several workers as real processes, which are killed, stopped and replaced."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parent.parent.parent
STOP_TIMEOUT_S: Final = 60.0


@dataclass
class Fleet:
    """The workers of one run; every one that ends is replaced until `closed`."""

    size: int
    environment: dict[str, str]
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    """Every process that was ever seen, analysis processes too."""
    bad_exits: list[int] = field(default_factory=list)
    """Exit codes, other than 0, of workers that were stopped by SIGTERM."""
    _stopping: set[int] = field(default_factory=set)
    _logs: dict[int, Path] = field(default_factory=dict)
    _started: int = 0

    def keep_up(self) -> None:
        """Take note of who ended, and start as many."""
        for worker in list(self.workers):
            if (code := worker.poll()) is not None:
                self.workers.remove(worker)
                if worker.pid in self._stopping and code != 0:
                    self.bad_exits.append(code)
        while len(self.workers) < self.size:
            self._start()
        self.note_children()

    def _start(self) -> None:
        self._started += 1
        path = self.folder / f"worker-{self._started}.log"
        with path.open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "worker", "run"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        self._logs[worker.pid] = path
        self.pids.add(worker.pid)

    def note_children(self) -> None:
        """Remember the analysis processes that run now."""
        for worker in self.workers:
            with suppress(psutil.NoSuchProcess):
                self.pids |= {c.pid for c in psutil.Process(worker.pid).children(recursive=True)}

    def kill_worker(self, draw: random.Random) -> None:
        """End one worker with SIGKILL, in the middle of whatever it does."""
        self.note_children()
        worker = draw.choice(self.workers)
        self._stopping.discard(worker.pid)  # its exit code is no longer its own
        worker.kill()

    def kill_child(self, draw: random.Random) -> None:
        """End one analysis process with SIGKILL."""
        children = []
        for worker in self.workers:
            with suppress(psutil.NoSuchProcess):
                children += psutil.Process(worker.pid).children()
        if children:
            with suppress(psutil.NoSuchProcess):
                draw.choice(children).kill()

    def stop_worker(self, draw: random.Random) -> None:
        """Ask one worker that takes jobs to stop, as a deployment does."""
        candidates = [
            worker
            for worker in self.workers
            if worker.pid not in self._stopping and self._is_ready(worker)
        ]
        if candidates:
            self._stop(draw.choice(candidates))

    def _is_ready(self, worker: subprocess.Popen[bytes]) -> bool:
        return b'"event":"ready"' in self._logs[worker.pid].read_bytes()

    def _stop(self, worker: subprocess.Popen[bytes]) -> None:
        self._stopping.add(worker.pid)
        worker.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Stop every worker."""
        self.note_children()
        for worker in self.workers:
            if worker.poll() is None:
                self._stop(worker)
        for worker in self.workers:
            try:
                code = worker.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                code = worker.wait()
            if code != 0:
                self.bad_exits.append(code)
        self.workers.clear()

    def orphans(self) -> list[int]:
        """Processes of the run that still live."""
        return sorted(pid for pid in self.pids if _is_ours(pid))


def _is_ours(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "python" in process.name()
    return False


def worker_environment(
    *, sqs: str, s3: str, queue_url: str, secret: str, settings: dict[str, str]
) -> dict[str, str]:
    """What a worker of this run is given, and nothing of the machine's own settings."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "NUMBA_CPU_NAME": "generic",
        "AWS_ENDPOINT_URL_SQS": sqs,
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "WORKER_QUEUE_URL": queue_url,
        "WORKER_WEBHOOK_SECRET": secret,
        "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
        "WORKER_HEALTH_PORT": "0",
        **settings,
    }
