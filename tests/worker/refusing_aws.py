"""A local server in the place of AWS, which refuses what moto never would."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class RefusingAws:
    """A local server in AWS's place, which refuses what it is told to."""

    def __init__(self) -> None:
        self.refusals: dict[str, tuple[int, str]] = {}
        self.date_off_s = 0.0
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        operation = target.rpartition(".")[2] or (
            "GetCallerIdentity" if request.method == "POST" else request.method
        )
        self.asked.append(operation)
        date = time.strftime(
            "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.date_off_s)
        )
        headers = {"Date": date}
        if operation in self.refusals:
            status, code = self.refusals[operation]
            if target:
                return web.json_response(
                    {"__type": f"com.amazonaws.sqs#{code}", "message": "no"},
                    status=status,
                    headers=headers,
                    content_type="application/x-amz-json-1.0",
                )
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
            if operation == "GetCallerIdentity":
                body = f"<ErrorResponse>{body}</ErrorResponse>"
            return web.Response(status=status, text=body, headers=headers)
        if operation == "GetCallerIdentity":
            body = (
                "<GetCallerIdentityResponse><GetCallerIdentityResult>"
                "<Arn>arn:aws:iam::1:role/worker</Arn></GetCallerIdentityResult>"
                "</GetCallerIdentityResponse>"
            )
            return web.Response(text=body, headers=headers)
        if operation == "GetQueueUrl":
            return web.json_response({"QueueUrl": f"{self.url}/1/jobs-dlq"}, headers=headers)
        if operation == "GetQueueAttributes":
            policy = {"deadLetterTargetArn": "arn:aws:sqs:r:1:jobs-dlq", "maxReceiveCount": "5"}
            attributes = {"RedrivePolicy": json.dumps(policy), "MessageRetentionPeriod": "345600"}
            return web.json_response({"Attributes": attributes}, headers=headers)
        if not target:  # S3
            return web.Response(headers=headers)
        return web.json_response({}, headers=headers)

    url = ""


@asynccontextmanager
async def refusing_aws() -> AsyncIterator[RefusingAws]:
    """Serve one on loopback."""
    made = RefusingAws()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()
