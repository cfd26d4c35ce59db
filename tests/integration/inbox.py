"""A consumer of webhooks: a real HTTP server that checks signatures and answers as it is told."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.integration.waiting import wait_for

SECRET = "whsec_" + base64.b64encode(b"integration-test-key-32-bytes---").decode()

ACCEPTED = 204


@dataclass(frozen=True)
class Delivery:
    """One request as the consumer got it."""

    path: str
    event_id: str
    body: bytes
    is_signed: bool
    answered: int
    traceparent: str | None

    @property
    def event(self) -> dict[str, Any]:
        """The event's JSON."""
        value: dict[str, Any] = json.loads(self.body)
        return value

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.event["type"])

    @property
    def job_id(self) -> str:
        """Which job it is about."""
        return str(self.event["data"]["job_id"])


@dataclass
class Gate:
    """Holds requests back until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0


class Inbox:
    """The consumer.

    `/hook…` answers 204; `/after/0.5` answers 204 half a second later; `/answer/503` answers 503;
    `/once/503/…` answers 503 to the first request
    and 204 to those after; `/gate/NAME` answers 204 once `open_gate(NAME)`
    was called. `answer_next` sets the status codes of the next requests to any path.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deliveries: list[Delivery] = []
        self._next: list[int] = []
        self._gates: dict[str, Gate] = {}
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                inbox._take(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for gate in self._gates.values():
            gate.opened.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "hook") -> str:
        """An address of this consumer."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def answer_next(self, *statuses: int) -> None:
        """Answer the next requests with these status codes."""
        with self._lock:
            self._next.extend(statuses)

    def gate(self, name: str) -> Gate:
        """The gate behind `/gate/NAME`."""
        with self._lock:
            return self._gates.setdefault(name, Gate())

    @property
    def deliveries(self) -> list[Delivery]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return list(self._deliveries)

    def of(self, job_id: str, *types: str) -> list[Delivery]:
        """The requests about one job; all types of event, or those named."""
        return [d for d in self.deliveries if d.job_id == job_id and (not types or d.type in types)]

    def wait(
        self, job_id: str, *types: str, count: int = 1, within_s: float = 30
    ) -> list[Delivery]:
        """Wait for final events of a job; all there are."""
        wanted = types or ("analysis.completed", "analysis.failed")

        def enough() -> list[Delivery] | None:
            found = self.of(job_id, *wanted)
            return found if len(found) >= count else None

        return wait_for(
            enough,
            within_s=within_s,
            what=f"{count} {'/'.join(wanted)} of {job_id}",
            seen=lambda: [(d.job_id, d.type) for d in self.deliveries][-40:],
        )

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        status = self._status(request.path)
        self._note(request, body, status)
        request.send_response(status)
        request.send_header("content-length", "0")
        request.end_headers()

    def _status(self, path: str) -> int:
        kind, _, value = path.strip("/").partition("/")
        with self._lock:
            if self._next:
                return self._next.pop(0)
        if kind == "answer":
            return int(value.partition("/")[0])
        if kind == "once":
            with self._lock:
                is_first = all(delivery.path != path for delivery in self._deliveries)
            return int(value.partition("/")[0]) if is_first else ACCEPTED
        if kind == "after":
            time.sleep(float(value))
        if kind == "gate":
            gate = self.gate(value)
            gate.waiting += 1
            gate.opened.wait(60)
        return ACCEPTED

    def _note(self, request: BaseHTTPRequestHandler, body: bytes, status: int) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            Webhook(SECRET).verify(body, headers)
            is_signed = True
        except WebhookVerificationError:
            is_signed = False
        with self._lock:
            self._deliveries.append(
                Delivery(
                    request.path,
                    headers.get("webhook-id", ""),
                    body,
                    is_signed,
                    status,
                    headers.get("traceparent"),
                )
            )
