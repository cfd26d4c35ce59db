"""A gateway in front of AWS that refuses, delays and cuts what a test tells it to."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class AwsRequest:
    """One request of the worker to AWS."""

    service: str
    """`sqs` or `s3`."""
    operation: str
    """`ReceiveMessage`, …; for S3 the HTTP method."""
    path: str
    """Decoded, for S3: /bucket/key."""
    access_key: str
    body: bytes


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of, or before, its being passed on."""

    status: int = 0
    """Answer so; 0 passes the request on."""
    code: str = "InternalError"
    delay_s: float = 0.0
    body: bytes | None = None
    """What the answer holds instead of an error in AWS's form."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the real answer's body."""


Rule = Callable[[AwsRequest], Fault | None]


class Gateway:
    """A reverse proxy; its `rules` are asked in order and the first fault is made."""

    def __init__(self, target: str) -> None:
        self.rules: list[Rule] = []
        self.seen: list[AwsRequest] = []
        """Every request so far, without its body."""
        self._is_down = False
        self._target = urlsplit(target)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            connection_to_target: http.client.HTTPConnection | None = None

            def setup(self) -> None:
                super().setup()
                with gateway._lock:
                    gateway._open.add(self.connection)

            def finish(self) -> None:
                with gateway._lock:
                    gateway._open.discard(self.connection)
                if self.connection_to_target is not None:
                    self.connection_to_target.close()
                with contextlib.suppress(OSError):
                    super().finish()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _pass(self) -> None:
                gateway._handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._handler = Handler
        self._server = Server(("127.0.0.1", 0), Handler)
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
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._cut_all()

    @property
    def url(self) -> str:
        """The endpoint that the worker is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def go_down(self) -> None:
        """Cut every connection and answer none until `come_back`."""
        self._is_down = True
        self._cut_all()

    def come_back(self) -> None:
        """Answer again."""
        self._is_down = False

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        with self._lock:
            return sum(request.operation == operation for request in self.seen)

    def _cut_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        request = _read(handler, body)
        with self._lock:
            self.seen.append(
                AwsRequest(
                    request.service, request.operation, request.path, request.access_key, b""
                )
            )
        if self._is_down:
            handler.close_connection = True
            return
        fault = next((f for rule in self.rules if (f := rule(request)) is not None), None)
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault is not None and fault.status:
            _refuse(handler, request, fault)
            return
        self._forward(handler, body, fault.cut_after if fault else None)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes, cut_after: int | None) -> None:
        target = getattr(handler, "connection_to_target", None)
        if target is None:
            target = http.client.HTTPConnection(
                self._target.hostname or "", self._target.port, timeout=60
            )
            handler.connection_to_target = target  # type: ignore[attr-defined]
        try:
            target.request(handler.command, handler.path, body, dict(handler.headers.items()))
            answer = target.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            handler.close_connection = True
            target.close()
            return
        if self._is_down:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                handler.send_header(name, value)
        length = answer.getheader("content-length") if handler.command == "HEAD" else len(data)
        handler.send_header("content-length", str(length or 0))
        handler.end_headers()
        if cut_after is not None:
            handler.wfile.write(data[:cut_after])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif handler.command != "HEAD":
            handler.wfile.write(data)


def _read(handler: BaseHTTPRequestHandler, body: bytes) -> AwsRequest:
    found = re.search(r"Credential=([^/,]+)/", handler.headers.get("authorization", ""))
    target = handler.headers.get("x-amz-target", "")
    is_sqs = target.startswith("AmazonSQS.")
    return AwsRequest(
        "sqs" if is_sqs else "s3",
        target.removeprefix("AmazonSQS.") if is_sqs else handler.command,
        unquote(handler.path.partition("?")[0]),
        found[1] if found else "",
        body,
    )


def _refuse(handler: BaseHTTPRequestHandler, request: AwsRequest, fault: Fault) -> None:
    if request.service == "sqs":
        kind = "application/x-amz-json-1.0"
        text = json.dumps({"__type": f"com.amazonaws.sqs#{fault.code}", "message": "refused"})
    else:
        kind = "application/xml"
        text = f"<Error><Code>{fault.code}</Code><Message>refused</Message></Error>"
    data = b"" if handler.command == "HEAD" else fault.body or text.encode()
    handler.send_response(fault.status)
    handler.send_header("content-type", kind)
    handler.send_header("content-length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
