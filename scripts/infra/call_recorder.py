"""A proxy in front of an AWS-compatible server that notes who calls what, on what.

It sits on the server's side, so the program that is watched runs as it always does. A call is
noted by what IAM looks at: the service, the operation, and the kind of thing it is done to (a work
queue, a dead-letter queue, the results' prefix), not the thing's name in this run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

HOP_BY_HOP: Final = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"}
)
RESULT_KINDS: Final = ("undelivered/", "delivered/", "cache/", "sweeping/", "check/")
ONLY_TARGETS: Final = {"secretsmanager": "webhook_secret"}
"""Services of which a worker has one thing."""

NEEDS_NO_PERMISSION: Final = frozenset({"sts"})
"""GetCallerIdentity, which anyone may."""

LARGEST_BODY_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, order=True)
class Call:
    """One kind of call."""

    service: str
    operation: str
    target: str
    """work_queue, dead_letter_queue, result_queue, input, results/…, their buckets, or *."""

    def as_json(self) -> dict[str, str]:
        """The fields, for a data file."""
        return asdict(self)


@dataclass(frozen=True)
class Request:
    """What a call's kind is told from."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def service(self) -> str:
        """From the signature: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`."""
        scope = self.headers.get("authorization", "").partition("Credential=")[2].split("/")
        return scope[3] if len(scope) > 3 else ""

    @property
    def agent(self) -> str:
        """User agent: aiobotocore's and boto3's differ."""
        return self.headers.get("user-agent", "")


def call_of(request: Request, results_prefix: str, sends_to: str = "work_queue") -> Call:
    """The kind of a request.

    Parameters
    ----------
    results_prefix
        The prefix of results in their bucket.
    sends_to
        What a queue is that is sent to and whose name does not say it.
    """
    if request.service == "s3":
        return _s3_call(request, results_prefix)
    operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
    if request.service == "monitoring":  # signed so, and called cloudwatch by IAM
        return Call("cloudwatch", operation, "*")
    if request.service != "sqs":
        return Call(request.service, operation, ONLY_TARGETS.get(request.service, "*"))
    fields = json.loads(request.body or b"{}")
    queue = fields.get("QueueName") or str(fields.get("QueueUrl", "")).rpartition("/")[2]
    return Call("sqs", operation, _queue_kind(queue, operation, sends_to))


def _queue_kind(name: str, operation: str, sends_to: str) -> str:
    name = name.removesuffix(".fifo")
    if name.endswith("-dlq"):
        return "dead_letter_queue"
    if name.endswith("-results"):
        return "result_queue"
    return sends_to if operation.startswith("Send") else "work_queue"


def _s3_call(request: Request, results_prefix: str) -> Call:
    bucket, _, key = unquote(request.path).lstrip("/").partition("/")
    if not key:
        operation = {"HEAD": "HeadBucket", "GET": "ListObjectsV2"}.get(request.method, "?")
        if request.method == "POST" and "delete" in request.query:
            operation = "DeleteObjects"
        return Call("s3", operation, "results_bucket" if "results" in bucket else "input_bucket")
    operation = {
        "GET": "GetObject",
        "HEAD": "HeadObject",
        "PUT": "PutObject",
        "DELETE": "DeleteObject",
    }.get(request.method, "?")
    if not key.startswith(results_prefix):
        return Call("s3", operation, "input")
    within = key.removeprefix(results_prefix)
    kind = next((kind for kind in RESULT_KINDS if within.startswith(kind)), "")
    return Call("s3", operation, f"results/{kind}")


class Recorder:
    """The proxy: passes everything on, and keeps the calls of one user agent.

    Parameters
    ----------
    target
        URL of the server behind.
    agent
        What the user agent of the watched program contains; others pass unnoted.
    results_prefix, sends_to
        As `call_of` takes them.
    """

    def __init__(self, target: str, *, agent: str, results_prefix: str, sends_to: str) -> None:
        self.calls: set[Call] = set()
        self._target = target.rstrip("/")
        self._agent = agent
        self._results_prefix = results_prefix
        self._sends_to = sends_to
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port of this machine; the URL."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close everything."""
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()

    async def _pass_on(self, incoming: web.Request) -> web.StreamResponse:
        if self._session is None:
            raise web.HTTPServiceUnavailable
        body = await incoming.read()
        request = Request(
            incoming.method,
            incoming.raw_path.partition("?")[0],
            incoming.query_string,
            {name.lower(): value for name, value in incoming.headers.items()},
            body,
        )
        if self._agent in request.agent and request.service not in NEEDS_NO_PERMISSION:
            self.calls.add(call_of(request, self._results_prefix, self._sends_to))
        headers = {k: v for k, v in incoming.headers.items() if k.lower() not in HOP_BY_HOP}
        if "content-encoding" in request.headers:  # aws-chunked: part of what was signed
            headers["Content-Encoding"] = request.headers["content-encoding"]
        url = URL(self._target + incoming.raw_path, encoded=True)
        async with self._session.request(
            incoming.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
            if incoming.method == "HEAD" and "Content-Length" in answer.headers:
                kept["Content-Length"] = answer.headers["Content-Length"]
            return web.Response(status=answer.status, headers=kept, body=await answer.read())
