"""Events on their way to real consumers that answer, refuse, stall and lie."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import repeat
from typing import Any

import orjson
import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

import worker.webhook
from worker import __version__
from worker.contract import Addressee, Event, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.secrets import WebhookKeys
from worker.signing import parse_keys
from worker.verdict import Verdict, verdict
from worker.webhook import ATTEMPT_TIMES_S, WebhookSender

OLD_KEY = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW_KEY = "whsec_" + base64.b64encode(b"n" * 32).decode()
STRANGER = "whsec_" + base64.b64encode(b"s" * 32).decode()

EVENT = build_event(
    EventType.COMPLETED,
    Addressee("take-42", "https://consumer.example.com/", "D7-hk46bT8I"),
    attempt=1,
    progress=100,
    message="Analysis completed: 안녕 – “scored”.",
    result=b'{"scores":{"overall":81.5}}',
)

OpenSender = Callable[..., Awaitable[WebhookSender]]


def event(number: int) -> Event:
    return build_event(
        EventType.COMPLETED,
        Addressee(f"job-{number}"),
        attempt=1,
        progress=100,
        message="Analysis completed.",
    )


# --- what is sent


async def test_the_reference_verifier_accepts_what_is_sent(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    sender = await open_sender(keys=WebhookKeys(parse_keys(NEW_KEY)))
    await sender.deliver(consumer.url, EVENT)
    (got,) = consumer.received
    assert Webhook(NEW_KEY).verify(got.body, got.headers) == orjson.loads(EVENT.body)
    with pytest.raises(WebhookVerificationError):
        Webhook(STRANGER).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW_KEY).verify(got.body.replace(b"81.5", b"91.5"), got.headers)


async def test_both_keys_sign_while_one_replaces_the_other(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    sender = await open_sender(keys=WebhookKeys(parse_keys(f"{NEW_KEY} {OLD_KEY}")))
    await sender.deliver(consumer.url, EVENT)
    (got,) = consumer.received
    for key in (OLD_KEY, NEW_KEY):
        Webhook(key).verify(got.body, got.headers)


async def test_the_headers_say_what_is_sent_and_by_whom(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    sender = await open_sender()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await sender.deliver(consumer.url, EVENT, traceparent=traceparent)
    headers = {name.lower(): value for name, value in consumer.received[0].headers.items()}
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"analysis-worker/{__version__}"
    assert headers["traceparent"] == traceparent
    assert headers["webhook-id"] == EVENT.event_id
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    assert "webhook-signature" not in headers


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("end", "path"),
    [
        ("/a%2Fb/c%20d/%E2%80%93/;p=1?q=a+b%26c&q=%2e&=", None),
        ("/{braces}/a|b?x=[1]", "/%7Bbraces%7D/a|b?x=[1]"),
        ("/../a/./b//c/", "/a/b//c/"),
        ("?only=query", "/?only=query"),
        ("#fragment", "/"),
        ("/안녕?ü=1", "/%EC%95%88%EB%85%95?%C3%BC=1"),
    ],
)
async def test_a_path_is_asked_for_as_the_url_has_it(
    end: str, path: str | None, open_raw_consumer: Any, open_sender: OpenSender
) -> None:
    lines: list[bytes] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines.append(head.partition(b"\r\n")[0])
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    url = (await open_raw_consumer(answers)).removesuffix("/hook")
    await (await open_sender()).deliver(url + end, EVENT)
    assert lines == [f"POST {path or end} HTTP/1.1".encode()]


async def test_each_attempt_has_the_same_id_and_its_own_time(
    open_consumer: Any, open_sender: OpenSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(9))

    class Clock:
        @staticmethod
        def now(zone: Any) -> datetime:
            return next(times).astimezone(zone)

    monkeypatch.setattr(worker.webhook, "datetime", Clock)
    consumer = await open_consumer(answers=[500, 500, 200])
    sender = await open_sender(keys=WebhookKeys(parse_keys(NEW_KEY)))
    await sender.deliver(consumer.url, EVENT)
    ids = [got.headers["webhook-id"] for got in consumer.received]
    stamps = [int(got.headers["webhook-timestamp"]) for got in consumer.received]
    assert ids == [EVENT.event_id] * 3
    assert [stamp - stamps[0] for stamp in stamps] == [0, 1, 2]
    assert len({got.headers["webhook-signature"] for got in consumer.received}) == 3
    assert "." not in EVENT.event_id


async def test_no_cookie_of_a_consumer_comes_back(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    async def bake(request: web.Request) -> web.Response:
        answer = web.Response()
        answer.set_cookie("session", "1")
        return answer

    consumer = await open_consumer(handler=bake)
    sender = await open_sender()
    for _ in range(2):
        await sender.deliver(consumer.url, EVENT)
    assert all("Cookie" not in got.headers for got in consumer.received)


async def test_no_proxy_of_the_environment_is_used(
    open_consumer: Any, open_sender: OpenSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, proxy = await open_consumer(), await open_consumer()
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    sender = await open_sender()
    await sender.deliver(consumer.url, EVENT)
    assert len(consumer.received) == 1
    assert not proxy.received


async def test_deliveries_to_one_consumer_share_a_connection(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    sender = await open_sender()
    for number in range(5):
        await sender.deliver(consumer.url, event(number))
    assert len({got.peer_port for got in consumer.received}) == 1


# --- what an answer means


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_a_2xx_takes_the_event(
    status: int, open_consumer: Any, open_sender: OpenSender, attempt_metrics: Any
) -> None:
    consumer = await open_consumer(answers=[status])
    await (await open_sender()).deliver(consumer.url, EVENT)
    assert attempt_metrics.attempts == ["2xx"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("status", "attempts", "code"),
    [
        (410, 1, ErrorCode.WEBHOOK_GONE),
        *((status, 2, ErrorCode.WEBHOOK_REJECTED) for status in (400, 401, 403, 404, 405, 413)),
        *((status, 2, ErrorCode.WEBHOOK_REJECTED) for status in (422, 402, 415, 418, 451)),
        *((status, 2, ErrorCode.WEBHOOK_REJECTED) for status in (300, 301, 302, 303, 307, 308)),
        *((status, 3, ErrorCode.WEBHOOK_UNAVAILABLE) for status in (408, 409, 425, 429)),
        *((status, 3, ErrorCode.WEBHOOK_UNAVAILABLE) for status in (500, 501, 502, 503, 504, 599)),
    ],
)
async def test_what_a_status_is_worth(
    status: int, attempts: int, code: ErrorCode, open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer(answers=repeat(status))
    sender = await open_sender()
    with pytest.raises(JobFailure, match=str(status)) as raised:
        await sender.deliver(consumer.url + "?token=hunter2", EVENT)
    assert raised.value.code is code
    assert len(consumer.received) == attempts
    assert "hunter2" not in raised.value.message


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "answers", [[500, 200], [400, 200], [503, 429, 200], [404, 500, 200], [500, 403, 200]]
)
async def test_an_event_is_delivered_by_a_later_attempt(
    answers: list[int], open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer(answers=answers)
    await (await open_sender()).deliver(consumer.url, EVENT)
    assert len(consumer.received) == len(answers)


@pytest.mark.usefixtures("quick")
async def test_a_second_refusal_is_believed_even_after_a_fault_between(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer(answers=[401, 500, 401])
    with pytest.raises(JobFailure) as raised:
        await (await open_sender()).deliver(consumer.url, EVENT)
    assert raised.value.code is ErrorCode.WEBHOOK_REJECTED


@pytest.mark.usefixtures("quick")
async def test_a_redirect_is_a_failure_that_says_so_and_is_not_followed(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    elsewhere = await open_consumer()

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": elsewhere.url})

    consumer = await open_consumer(handler=redirect)
    with pytest.raises(JobFailure, match="redirects are not followed") as raised:
        await (await open_sender()).deliver(consumer.url, EVENT)
    assert raised.value.code is ErrorCode.WEBHOOK_REJECTED
    assert not elsewhere.received


def test_only_2xx_takes_an_event() -> None:
    taken = {status for status in range(100, 600) if verdict(status) is Verdict.TAKEN}
    assert taken == set(range(200, 300))


# --- Retry-After


async def test_a_short_retry_after_is_waited_for_here(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    answers = [web.Response(status=429, headers={"Retry-After": "2"}), 200]
    consumer = await open_consumer(answers=answers)
    await (await open_sender()).deliver(consumer.url, EVENT)
    first, second = consumer.received
    assert 2.0 <= second.at_s - first.at_s < 3.5


@pytest.mark.parametrize("status", [503, 413])
async def test_a_long_retry_after_is_left_to_the_queue(
    open_consumer: Any, open_sender: OpenSender, status: int
) -> None:
    when = datetime.now(UTC) + timedelta(seconds=120)
    for header in ("120", format_datetime(when, usegmt=True)):
        consumer = await open_consumer(
            answers=[web.Response(status=status, headers={"Retry-After": header})]
        )
        with pytest.raises(JobFailure) as raised:
            await (await open_sender()).deliver(consumer.url, EVENT)
        assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE
        assert raised.value.retry_after_s == pytest.approx(120, abs=3)
        assert len(consumer.received) == 1


def test_the_attempts_follow_the_timetable_with_jitter() -> None:
    assert ATTEMPT_TIMES_S == (0.0, 1.0, 5.0)
    second = [worker.webhook._pause_s(1, None) for _ in range(200)]
    third = [worker.webhook._pause_s(2, None) for _ in range(200)]
    assert 0.75 <= min(second) < max(second) <= 1.25
    assert 3.0 <= min(third) < max(third) <= 5.0
    assert worker.webhook._pause_s(1, 4.0) == 4.0


@pytest.mark.parametrize("traceparent", ["x\r\nHost: evil", "안녕", "", "00-1-1-01"])
async def test_a_trace_context_that_is_none_is_not_sent(
    traceparent: str, open_consumer: Any, open_sender: OpenSender
) -> None:
    consumer = await open_consumer()
    await (await open_sender()).deliver(consumer.url, EVENT, traceparent=traceparent)
    assert "traceparent" not in consumer.received[0].headers


# --- keys


@pytest.mark.usefixtures("quick")
async def test_a_refused_signature_has_the_keys_read_anew_before_the_last_try(
    open_consumer: Any, open_sender: OpenSender
) -> None:
    class Rotated(WebhookKeys):
        async def refresh_if_stale(self) -> None:
            self._keys = parse_keys(NEW_KEY)

    async def verify(request: web.Request) -> int:
        try:
            Webhook(NEW_KEY).verify(await request.read(), dict(request.headers))
        except WebhookVerificationError:
            return 401
        return 200

    consumer = await open_consumer(handler=verify)
    sender = await open_sender(keys=Rotated(parse_keys(OLD_KEY)))
    await sender.deliver(consumer.url, EVENT)
    assert len(consumer.received) == 2


# --- best effort


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_progress_is_tried_once_and_never_raises(
    open_consumer: Any,
    open_raw_consumer: Any,
    open_sender: OpenSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker.webhook, "PROGRESS_TIMEOUT_S", 0.1)
    sender = await open_sender()
    consumer = await open_consumer(answers=[204, 500, 410])
    assert await sender.attempt(consumer.url, EVENT)
    assert not await sender.attempt(consumer.url, EVENT)
    assert not await sender.attempt(consumer.url, EVENT)
    assert len(consumer.received) == 3
    assert not await sender.attempt(await open_raw_consumer(never_answers), EVENT)
    assert not await sender.attempt("no URL", EVENT)
    assert not await sender.attempt("http://127.0.0.1:9/", EVENT)


async def test_progress_that_fails_opens_no_breaker(
    open_consumer: Any, open_sender: OpenSender, attempt_metrics: Any
) -> None:
    async def results_only(request: web.Request) -> int:
        return 500 if b"progress" in await request.read() else 200

    consumer = await open_consumer(handler=results_only)
    sender = await open_sender()
    step = build_event(EventType.PROGRESS, Addressee("j"), attempt=1, progress=10, message="m")
    for _ in range(20):
        assert not await sender.attempt(consumer.url, step)
    await sender.deliver(consumer.url, Event("evt_1", EventType.COMPLETED, "j", b"{}"))
    assert attempt_metrics.open_breakers == 0
