"""Objects by one signed request: read without the SDK's own call, and by that where it fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError

from worker import aws, objects
from worker.aws import AwsClients, open_clients
from worker.failures import ErrorCode, JobFailure
from worker.locations import S3Location
from worker.storage import Storage

PLACE = S3Location("things", "Heath Ledger/한국어 1.wav")
ETAG = '"e1"'

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class S3Server:
    """A server in S3's place, which tells a request of ours from one of the SDK's own call."""

    def __init__(self) -> None:
        self.by_us: list[web.Request] = []
        self.by_sdk: list[web.Request] = []
        self.ours: Answer = found
        self.sdks: Answer = found

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_sdks = "amz-sdk-invocation-id" in request.headers
        (self.by_sdk if is_sdks else self.by_us).append(request)
        return await (self.sdks if is_sdks else self.ours)(request)

    def forget(self) -> None:
        """Count from here on."""
        self.by_us.clear()
        self.by_sdk.clear()

    def refuse(self, status: int, code: str, *, also_sdks: bool = True) -> None:
        async def refused(_: web.Request) -> web.StreamResponse:
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
            return web.Response(status=status, text=body, content_type="application/xml")

        self.ours = refused
        self.sdks = refused if also_sdks else self.sdks


async def found(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"sound", headers={"ETag": ETAG, "x-amz-request-id": "R1"})


async def unless_changed(request: web.Request) -> web.StreamResponse:
    if request.headers.get("If-None-Match") == ETAG:
        return web.Response(status=304)
    return await found(request)


async def never(_: web.Request) -> web.StreamResponse:
    """Answer no more; cancelled when the connection is closed."""
    await asyncio.Event().wait()
    return web.Response()


@pytest_asyncio.fixture
async def server(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    made = S3Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield made
    await runner.cleanup()


async def cut(request: web.Request) -> web.StreamResponse:
    """Answer nothing, and hang up."""
    assert request.transport
    request.transport.abort()
    return web.Response()


@pytest_asyncio.fixture
async def clients(server: S3Server) -> AsyncIterator[AwsClients]:
    """Clients that have read an object of `PLACE`'s bucket, so that they know where it is."""
    async with open_clients(wait_time_s=0) as opened:
        await fetch(opened)
        server.forget()
        yield opened


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is logged of buckets that are left to the SDK."""
    lines: list[tuple[str, dict[str, Any]]] = []
    note = SimpleNamespace(info=lambda event, **fields: lines.append((event, fields)))
    monkeypatch.setattr(objects, "log", note)
    return lines


def through_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server answer for every host, as a proxy does."""
    monkeypatch.setenv("HTTP_PROXY", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.invalid")


def storage_of(clients: AwsClients) -> Storage:
    return Storage(clients.s3, clients.objects)


async def fetch(clients: AwsClients, place: S3Location = PLACE, max_bytes: int = 100) -> bytes:
    return (await storage_of(clients).fetch(place, what="recording", max_bytes=max_bytes)).data


async def failure(clients: AwsClients) -> JobFailure:
    with pytest.raises(JobFailure) as raised:
        await fetch(clients)
    return raised.value


@pytest.mark.parametrize(
    "key",
    ["a b/한 1.wav", "100%25.wav", "a+b=c&d~'()*!@$,;:.wav", "a//b", "/a", "a/", "what?#.wav", "é"],
)
async def test_a_key_is_asked_for_as_it_is_written(
    moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    async with open_clients(wait_time_s=0) as clients:
        await clients.s3.create_bucket(Bucket="things")
        await clients.s3.put_object(Bucket="things", Key=key, Body=key.encode())
        assert await fetch(clients, S3Location("things", key)) == key.encode()
        monkeypatch.setattr(clients.s3, "get_object", None)
        assert await fetch(clients, S3Location("things", key)) == key.encode()


@pytest.mark.parametrize("key", ["a/../b", "./a", "a/./b", "..", "a//b", "/a", "a%2Fb", "a b"])
async def test_a_url_is_the_one_that_the_sdk_itself_asks_for(
    server: S3Server, clients: AwsClients, key: str
) -> None:
    await fetch(clients, S3Location("things", key))
    await clients.s3.get_object(Bucket="things", Key=key)
    assert server.by_us[0].raw_path.partition("?")[0] == server.by_sdk[0].raw_path.partition("?")[0]


PROFILES = {
    "nothing": "",
    "an endpoint": "endpoint_url = http://minio.local:9000",
    "an endpoint for S3": "services = near\n[services near]\ns3 =\n  endpoint_url = https://minio.local/s3",
    "an endpoint, virtual hosts": (
        "endpoint_url = http://minio.local:9000\ns3 =\n  addressing_style = virtual"
    ),
    "paths": "s3 =\n  addressing_style = path",
    "virtual hosts": "s3 =\n  addressing_style = virtual",
    "acceleration": "s3 =\n  use_accelerate_endpoint = true",
    "FIPS": "use_fips_endpoint = true",
    "dual stack": "use_dualstack_endpoint = true",
    "both, paths": (
        "use_fips_endpoint = true\nuse_dualstack_endpoint = true\ns3 =\n  addressing_style = path"
    ),
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every request to S3 in AWS, none of which leaves the machine."""
    requests: list[Any] = []

    async def send(_: Any, request: Any) -> AioAWSResponse:
        requests.append(request)
        headers: Any = {"content-length": "0"}
        return AioAWSResponse(request.url, 200, headers, SimpleNamespace())

    monkeypatch.setattr(AIOHTTPSession, "send", send)
    return requests


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "us-gov-west-1"])
async def test_a_bucket_is_where_the_sdk_asks_for_it(
    clean_environment: pytest.MonkeyPatch,
    tmp_path: Path,
    sent: list[Any],
    region: str,
    profile: str,
) -> None:
    (tmp_path / "config").write_text(f"[default]\n{PROFILES[profile]}\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_REGION": region,
    }.items():
        clean_environment.setenv(name, value)

    async with open_clients(wait_time_s=0) as clients:
        for bucket in ("bucket", "dotted.bucket"):
            sent.clear()
            try:
                await clients.s3.get_object(Bucket=bucket, Key="k k")
            except BotoCoreError as error:  # no such address, by the SDK's rules
                with pytest.raises(type(error)):
                    await clients.objects.get(S3Location(bucket, "k k"))
                assert not sent
                continue
            for _ in range(2):
                await clients.objects.get(S3Location(bucket, "k k"))
            assert ["amz-sdk-invocation-id" in request.headers for request in sent] == [
                True,
                True,
                False,
            ]
            assert len({(request.url, scope(request)) for request in sent}) == 1


def scope(request: Any) -> str:
    """For which day, region and service a request is signed."""
    signed = request.headers["Authorization"]
    text = signed.decode() if isinstance(signed, bytes) else signed
    return str(text.partition("Credential=")[2].partition(",")[0])


async def test_a_bucket_that_is_signed_for_in_another_way_is_the_sdks(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = aws.config
    older = AioConfig(signature_version="s3")
    monkeypatch.setattr(aws, "config", lambda **options: configured(**options).merge(older))
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(3):
            assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (0, 3)


async def test_a_directory_bucket_with_sessions_of_its_own_is_the_sdks(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def with_session(request: web.Request) -> web.StreamResponse:
        if "session" not in request.query:
            return await found(request)
        keys = (
            "<SessionToken>t</SessionToken><SecretAccessKey>s</SecretAccessKey>"
            "<AccessKeyId>a</AccessKeyId><Expiration>2100-01-01T00:00:00Z</Expiration>"
        )
        result = f"<CreateSessionResult><Credentials>{keys}</Credentials></CreateSessionResult>"
        return web.Response(text=result, content_type="application/xml")

    server.sdks = with_session
    through_proxy(monkeypatch)
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(3):
            assert await fetch(clients, S3Location("things--use1-az4--x-s3", "k")) == b"sound"
    assert any("x-amz-s3session-token" in request.headers for request in server.by_sdk)
    assert not server.by_us


async def test_the_sdk_reads_first_and_so_says_where_a_bucket_is(server: S3Server) -> None:
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(3):
            assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (2, 1)
    assert len({(request.host, request.raw_path) for request in server.by_us + server.by_sdk}) == 1


async def test_an_object_known_to_be_unchanged_says_where_its_bucket_is(server: S3Server) -> None:
    server.sdks = server.ours = unless_changed
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(2):
            with pytest.raises(ClientError, match="304"):
                await clients.objects.get(PLACE, unless_etag=ETAG)
    assert (len(server.by_us), len(server.by_sdk)) == (1, 1)


async def test_one_request_reads_an_object(server: S3Server, clients: AwsClients) -> None:
    assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (1, 0)
    assert server.by_us[0].headers["User-Agent"] == aws.USER_AGENT
    reply = await clients.objects.get(PLACE)
    reply["Body"].close()
    assert reply["ResponseMetadata"]["RequestId"] == "R1"


async def test_an_unchanged_object_is_asked_about_once(
    server: S3Server, clients: AwsClients
) -> None:
    server.ours = unless_changed
    storage = storage_of(clients)
    first = await storage.fetch(PLACE, what="TextGrid", max_bytes=100, shared=True)
    assert await storage.fetch(PLACE, what="TextGrid", max_bytes=100, shared=True) is first
    assert (len(server.by_us), len(server.by_sdk)) == (2, 0)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ErrorCode.NOT_FOUND),
        (404, "NoSuchBucket", ErrorCode.NOT_FOUND),
        (403, "AccessDenied", ErrorCode.ACCESS_DENIED),
        (403, "SignatureDoesNotMatch", ErrorCode.CREDENTIALS_EXPIRED),
        (400, "ExpiredToken", ErrorCode.CREDENTIALS_EXPIRED),
        (503, "SlowDown", ErrorCode.STORAGE_UNAVAILABLE),
    ],
)
async def test_what_is_refused_is_named_as_the_sdk_names_it(
    server: S3Server, clients: AwsClients, status: int, code: str, expected: ErrorCode
) -> None:
    server.refuse(status, code)
    assert (await failure(clients)).code is expected
    assert len(server.by_us) == 1
    assert len(server.by_sdk) == (3 if status == 503 else 1)


@pytest.mark.parametrize("refusal", [301, 307, 400, 403, "ConnectionClosedError"])
async def test_a_bucket_that_answers_the_sdk_alone_is_left_to_it_for_a_while(
    server: S3Server,
    clients: AwsClients,
    said: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    refusal: int | str,
) -> None:
    now = 1000.0
    monkeypatch.setattr(objects, "monotonic", lambda: now)
    if isinstance(refusal, int):
        server.refuse(refusal, "Refused", also_sdks=False)
    else:
        server.ours = cut
    for _ in range(3):
        assert await fetch(clients) == b"sound"
    tries = len(server.by_us)  # aiohttp repeats what breaks off on a connection that was kept
    assert tries == 1 or refusal == "ConnectionClosedError"
    assert len(server.by_sdk) == 3
    reason = f"status {refusal}" if isinstance(refusal, int) else refusal
    assert said == [("signed_request_refused", {"bucket": PLACE.bucket, "reason": reason})]

    server.ours = found
    now += objects.LEFT_TO_SDK_S - 1
    await fetch(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (tries, 4)
    now += 1
    await fetch(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (tries + 1, 4)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_an_answer_that_may_be_another_in_a_moment_changes_nothing_for_its_bucket(
    server: S3Server, clients: AwsClients, said: list[Any], status: int
) -> None:
    server.refuse(status, "NotNow", also_sdks=False)
    assert await fetch(clients) == b"sound"
    server.ours = found
    assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (2, 1)
    assert not said


@pytest.mark.parametrize("status", [403, 404])
async def test_what_the_sdk_is_refused_as_well_changes_nothing_for_its_bucket(
    server: S3Server, clients: AwsClients, said: list[Any], status: int
) -> None:
    server.refuse(status, "Refused")
    for _ in range(2):
        await failure(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (2, 2)
    assert not said


async def test_many_refused_at_once_leave_their_bucket_once(
    server: S3Server, clients: AwsClients, said: list[Any]
) -> None:
    server.refuse(403, "Refused", also_sdks=False)
    await asyncio.gather(*(fetch(clients) for _ in range(8)))
    assert len(said) == 1


async def test_a_bucket_in_another_region_is_followed_there(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        if "/eu-west-1/" in request.headers["Authorization"]:
            return await found(request)
        body = (
            "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong"
            "</Message><Region>eu-west-1</Region></Error>"
        )
        return web.Response(status=400, text=body, headers={"x-amz-bucket-region": "eu-west-1"})

    server.ours = server.sdks = elsewhere
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(3):
            assert await fetch(clients) == b"sound"
    assert (len(server.by_us), len(server.by_sdk)) == (2, 2)


async def test_a_body_in_chunks_is_read_to_its_end_and_no_further_than_the_cap(
    server: S3Server, clients: AwsClients
) -> None:
    pieces = [b"so", b"und"]

    async def in_chunks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": ETAG})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    server.ours = in_chunks
    assert await fetch(clients) == b"sound"
    pieces[:] = [bytes(60)] * 1000
    assert (await failure(clients)).code is ErrorCode.INPUT_TOO_LARGE
    assert not server.by_sdk


async def test_a_length_above_the_cap_is_refused_unread(
    server: S3Server, clients: AwsClients
) -> None:
    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(101))

    server.ours = large
    assert (await failure(clients)).code is ErrorCode.INPUT_TOO_LARGE
    assert not server.by_sdk


async def test_a_body_that_breaks_off_is_tried_again_later(
    server: S3Server, clients: AwsClients
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": ETAG, "Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport
        request.transport.close()
        return response

    server.ours = half
    assert (await failure(clients)).code is ErrorCode.STORAGE_UNAVAILABLE


async def test_a_body_that_stalls_is_given_up_and_its_connection_closed(
    server: S3Server, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": ETAG, "Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        try:
            return await never(request)
        finally:
            closed.set()

    configured = aws.config
    monkeypatch.setattr(
        aws, "config", lambda **options: configured(**options | {"read_timeout_s": 0.2})
    )
    async with open_clients(wait_time_s=0) as clients:
        server.ours = found
        await fetch(clients)
        server.ours = stall
        assert (await failure(clients)).code is ErrorCode.STORAGE_UNAVAILABLE
        await asyncio.wait_for(closed.wait(), 10)


async def test_a_job_that_is_stopped_lets_go_of_its_connection(
    server: S3Server, clients: AwsClients
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait_for_end(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            return await never(request)
        finally:
            ended.set()

    server.ours = wait_for_end
    fetching = asyncio.create_task(fetch(clients))
    await asyncio.wait_for(begun.wait(), 10)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await asyncio.wait_for(ended.wait(), 10)
    server.ours = found
    assert await fetch(clients) == b"sound"
    assert not server.by_sdk


async def test_no_answer_at_all_is_storage_unavailable(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        async with open_clients(wait_time_s=0) as clients:
            assert (await failure(clients)).code is ErrorCode.STORAGE_UNAVAILABLE


async def test_requests_are_signed_with_the_credentials_that_the_sdk_has_refreshed(
    server: S3Server,
) -> None:
    numbers = iter(range(1, 10))

    async def refresh() -> dict[str, str]:
        return {
            "access_key": f"KEY{next(numbers)}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(),
        }

    session: Any = get_session()
    session._credentials = AioRefreshableCredentials.create_from_metadata(
        metadata=await refresh(), refresh_using=refresh, method="test"
    )
    async with open_clients(wait_time_s=0, session=session) as clients:
        for _ in range(3):
            await fetch(clients)
    signatures = [request.headers["Authorization"] for request in server.by_us]
    keys = [signed.partition("Credential=")[2].partition("/")[0] for signed in signatures]
    assert keys == sorted(set(keys))
    assert len(keys) == 2
    assert all("x-amz-security-token" in signed for signed in signatures)
    assert all(request.headers["X-Amz-Security-Token"] == "token" for request in server.by_us)


async def test_no_more_buckets_are_remembered_than_a_fleet_may_have(
    server: S3Server, clients: AwsClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "BUCKETS_KEPT", 3)
    places = [S3Location(f"bucket-{number}", "k") for number in range(10)]
    for place in places:
        assert await fetch(clients, place) == b"sound"
    server.refuse(403, "AccessDenied", also_sdks=False)
    for place in places[-3:]:
        assert await fetch(clients, place) == b"sound"
    assert len(server.by_us) == 3
    for kept in vars(clients.objects).values():
        assert not isinstance(kept, dict) or len(kept) <= 3


async def test_without_credentials_the_failure_says_so(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    async with open_clients(wait_time_s=0) as clients:
        assert (await failure(clients)).code is ErrorCode.CREDENTIALS_EXPIRED


async def test_objects_are_read_by_way_of_the_sdks_proxy(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_proxy(monkeypatch)
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(2):
            assert await fetch(clients) == b"sound"
    assert server.by_us[0].host == server.by_sdk[0].host == "s3.invalid"
