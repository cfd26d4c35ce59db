"""The inbox of a load test: counts the jobs whose POST arrived, and when the first and last came.

    python -m scripts.bench.load_inbox

A process of its own. `POST` anywhere is an event: its `job_id` is remembered and 204 answered.
`GET /wait?jobs=N` answers when N different jobs have arrived, `GET /count` at once; with
`untimed=M` the clock starts at the M-th job and not at the first. `DELETE /` forgets everything
before the next run.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from scripts.bench.http_stream import Connection, Request, response, serve
from scripts.bench.server_process import started

_JOB_ID: Final = re.compile(rb'"job_id": ?"([A-Za-z0-9_-]+)"')
_ACCEPTED: Final = response(b"204 No Content")
_ASKING_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class Count:
    """What has arrived so far."""

    posts: int
    jobs: int
    """Different jobs: fewer than `posts` where some came twice."""
    nameless: int
    """Posts that named no job."""
    body_bytes: int
    """The length of the last body."""
    untimed: int
    """Jobs up to the one that started the clock."""
    took_s: float
    """From that job to the last new one."""

    @property
    def jobs_per_s(self) -> float:
        """Throughput from the job that started the clock to the last."""
        return (self.jobs - self.untimed) / self.took_s if self.took_s > 0 else 0.0


class LoadInbox:
    """The state behind the server: what arrived, and who waits for how many."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Connection]] = []
        self._forget()

    def _forget(self) -> None:
        self._ids: set[bytes] = set()
        self._posts = self._nameless = self._body_bytes = 0
        self._arrivals_s: list[float] = []

    def answer(self, request: Request, connection: Connection) -> bytes | None:
        """Answer one request; None if the answer comes later."""
        if request.method == b"POST":
            self._take(request.body)
            return _ACCEPTED
        if request.method == b"DELETE":
            self._forget()
            return _ACCEPTED
        query = parse_qs(urlsplit(request.target.decode()).query)
        wanted = int(query.get("jobs", ["0"])[0])
        untimed = int(query.get("untimed", ["1"])[0])
        if len(self._ids) < wanted:
            self._waiting.append((wanted, untimed, connection))
            return None
        return self._count(untimed)

    def _take(self, body: bytes) -> None:
        now = time.perf_counter()
        self._posts += 1
        self._body_bytes = len(body)
        found = _JOB_ID.search(body)
        if found is None:
            self._nameless += 1
            return
        if found[1] in self._ids:
            return
        self._ids.add(found[1])
        self._arrivals_s.append(now)
        for waiter in [w for w in self._waiting if w[0] <= len(self._ids)]:
            self._waiting.remove(waiter)
            _, untimed, connection = waiter
            connection.reply(self._count(untimed))

    def _count(self, untimed: int) -> bytes:
        timed = self._arrivals_s[untimed - 1 :]
        count = {
            "posts": self._posts,
            "jobs": len(self._ids),
            "nameless": self._nameless,
            "body_bytes": self._body_bytes,
            "untimed": untimed,
            "took_s": timed[-1] - timed[0] if timed else 0.0,
        }
        return response(b"200 OK", json.dumps(count).encode())


class InboxClient:
    """Asks an inbox that runs in another process."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def webhook(self) -> str:
        """Where jobs are to be posted."""
        return f"{self.address}/hook"

    def forget(self) -> None:
        """Begin again at nothing."""
        self._ask("/", _ASKING_TIMEOUT_S, method="DELETE")

    def count(self) -> Count:
        """What has arrived so far."""
        return Count(**json.loads(self._ask("/count", _ASKING_TIMEOUT_S)))

    def wait_for(self, jobs: int, *, timeout_s: float, untimed: int = 1) -> Count:
        """Wait until so many different jobs have arrived. Raises TimeoutError."""
        path = f"/wait?jobs={jobs}&untimed={untimed}"
        try:
            return Count(**json.loads(self._ask(path, timeout_s)))
        except TimeoutError:
            arrived = self.count().jobs
            raise TimeoutError(
                f"{arrived} of {jobs} jobs had arrived after {timeout_s:.0f} s"
            ) from None

    def _ask(self, path: str, timeout_s: float, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.address + path, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310
            answer: bytes = reply.read()
        return answer


@contextmanager
def running(folder: Path) -> Iterator[InboxClient]:
    """Start an inbox in a process of its own; it ends with the block."""
    with started("scripts.bench.load_inbox", folder) as address:
        yield InboxClient(address)


if __name__ == "__main__":
    serve(LoadInbox().answer)
