"""The consumers of docs/webhooks.md, run as they stand there, against the real sender."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from worker.contract import Addressee, Event, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.metrics import Metrics
from worker.secrets import WebhookKeys
from worker.settings import Settings
from worker.signing import parse_keys, signed_headers
from worker.webhook import WebhookSender

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
NEXT_KEY = "whsec_" + base64.b64encode(b"n" * 32).decode()
STRANGER = "whsec_" + base64.b64encode(b"s" * 32).decode()

START_S = 60  # Go compiles first


@dataclass(frozen=True)
class Runtime:
    """How a program of the page is run."""

    fence: str
    file: str
    command: tuple[str, ...]

    @property
    def is_there(self) -> bool:
        return shutil.which(self.command[0]) is not None


RUNTIMES = {
    "python": Runtime("python", "consumer.py", (sys.executable,)),
    "node": Runtime("js", "consumer.js", ("node",)),
    "go": Runtime("go", "consumer.go", ("go", "run")),
}


def program(fence: str) -> str:
    blocks = re.findall(
        rf"^```{fence}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 1, f"one program in {fence} was expected on {PAGE.name}"
    return str(blocks[0])


@dataclass
class Running:
    """A consumer that takes events at `url` and prints what it took."""

    url: str
    process: asyncio.subprocess.Process

    async def printed(self, lines: int) -> list[str]:
        assert self.process.stdout is not None
        return [
            (await asyncio.wait_for(self.process.stdout.readline(), 10)).decode().strip()
            for _ in range(lines)
        ]

    async def rest(self) -> str:
        os.killpg(self.process.pid, signal.SIGTERM)
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.read(), 10)).decode()


@asynccontextmanager
async def running(name: str, folder: Path, port: int) -> AsyncIterator[Running]:
    runtime = RUNTIMES[name]
    path = folder / runtime.file
    path.write_text(program(runtime.fence), encoding="utf-8")
    environment = os.environ | {"WEBHOOK_SECRET": KEY, "PORT": str(port), "GOFLAGS": "-mod=mod"}
    process = await asyncio.create_subprocess_exec(
        *runtime.command,
        str(path),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await _listens(process, port)
        yield Running(f"http://127.0.0.1:{port}/", process)
    finally:
        # `go run` starts the program as a child of its own: end the whole session.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _listens(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(START_S):
        while True:
            assert process.returncode is None, "the consumer ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def event(job_id: str, event_type: EventType = EventType.COMPLETED) -> Event:
    return build_event(
        event_type, Addressee(job_id), attempt=1, progress=100, message="점수가 나왔어요 – “done”."
    )


@asynccontextmanager
async def sender(keys: str) -> AsyncIterator[WebhookSender]:
    settings = Settings(queue_url="https://sqs.test/q", webhook_allow_private=True, _env_file=None)
    async with WebhookSender(settings, WebhookKeys(parse_keys(keys)), Metrics()) as opened:
        yield opened


@pytest.mark.parametrize("name", RUNTIMES)
async def test_the_consumer_of_the_page_takes_what_is_ours_once_and_nothing_else(
    name: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    if not RUNTIMES[name].is_there:
        pytest.skip(f"{RUNTIMES[name].command[0]} is not installed")
    async with running(name, tmp_path, unused_tcp_port) as consumer:
        async with sender(f"{NEXT_KEY} {KEY}") as rotating:
            await rotating.deliver(consumer.url, event("take-1"))
            await rotating.deliver(consumer.url, event("take-1"))  # a repeat
            await rotating.deliver(consumer.url, event("take-2", EventType.FAILED))
        assert await consumer.printed(2) == ["analysis.completed take-1", "analysis.failed take-2"]

        async with sender(STRANGER) as stranger:
            with pytest.raises(JobFailure, match="answered 401") as raised:
                await stranger.deliver(consumer.url, event("take-3"))
            assert raised.value.code is ErrorCode.WEBHOOK_REJECTED

        assert await _statuses(consumer.url) == dict.fromkeys(_forgeries(), 401)
        assert await consumer.rest() == ""


@pytest.mark.parametrize("name", RUNTIMES)
async def test_no_stranger_ends_the_consumer_of_the_page_or_fills_its_memory(
    name: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    if not RUNTIMES[name].is_there:
        pytest.skip(f"{RUNTIMES[name].command[0]} is not installed")
    async with running(name, tmp_path, unused_tcp_port) as consumer:
        await _hangs_up(unused_tcp_port)
        taken = await _send_without_end(unused_tcp_port, most=64 * 2**20)
        assert taken < 32 * 2**20, "a body without a signature was read to its end"
        async with sender(KEY) as ours:
            await ours.deliver(consumer.url, event("take-1"))
        assert await consumer.printed(1) == ["analysis.completed take-1"]
        assert consumer.process.returncode is None


async def _hangs_up(port: int) -> None:
    """Say what is to come, send a part of it, and go."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _send_without_end(port: int, *, most: int) -> int:
    """Send a body until the other side closes or answers; how much it took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    part = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = asyncio.create_task(reader.read(1))
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        while sent < most and not answer.done():
            writer.write(part)
            await asyncio.wait_for(writer.drain(), 2)  # it may stop reading as well
            sent += len(part)
    writer.transport.abort()
    await asyncio.gather(answer, return_exceptions=True)
    return sent


def _forgeries() -> dict[str, tuple[dict[str, str], bytes]]:
    body = event("take-4").body
    now = datetime.now(UTC)
    keys = parse_keys(KEY)
    good = dict(signed_headers(keys, "evt_4", now, body))
    return {
        "old": (dict(signed_headers(keys, "evt_4", now - timedelta(minutes=6), body)), body),
        "early": (dict(signed_headers(keys, "evt_4", now + timedelta(minutes=6), body)), body),
        "changed body": (good, body.replace(b"take-4", b"take-5")),
        "changed id": ({**good, "webhook-id": "evt_5"}, body),
        "changed time": (
            {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)},
            body,
        ),
        "unsigned": ({k: v for k, v in good.items() if k != "webhook-signature"}, body),
        "no headers": ({}, body),
        "garbage": ({**good, "webhook-signature": "garbage v1 v1,!!! ,"}, body),
        "other version": (
            {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
            body,
        ),
    }


async def _statuses(url: str) -> dict[str, int]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return {
            name: (await client.post(url, content=body, headers=headers)).status_code
            for name, (headers, body) in _forgeries().items()
        }


def test_the_page_answers_for_every_status_as_the_worker_does() -> None:
    from worker.verdict import Verdict, verdict

    rows = re.findall(r"^\| ([^|]*\d[^|]*) \| ([^|]*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    said = dict(rows)
    later = next(text for text in said if "429" in text)
    for status in re.findall(r"\b\d{3}\b", later):
        assert verdict(int(status)) is Verdict.LATER
    refused = next(text for text in said if "422" in text)
    for status in re.findall(r"\b\d{3}\b", refused):
        assert verdict(int(status)) is Verdict.REJECTED
    assert verdict(410) is Verdict.GONE
    assert "410" in said
