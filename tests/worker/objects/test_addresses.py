"""Objects are asked for where the SDK asks for them, and by it where only it can."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from aiohttp import web
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from multidict import CIMultiDict
from yarl import URL

from tests.worker.aws_server import through_proxy
from tests.worker.objects.s3_server import (
    ETAG,
    PLACE,
    S3Server,
    fetch,
    found,
    unless_changed,
)
from tests.worker.sdk_signature import sdk_authorization
from worker import aws, objects
from worker.aws import AwsClients, open_clients
from worker.locations import S3Location


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

    async def request(
        _: Any, method: str, url: URL, *, headers: Mapping[str, str], **__: Any
    ) -> SimpleNamespace:
        requests.append(SimpleNamespace(url=str(url), headers=CIMultiDict(headers)))
        answered = {"content-length": "0"}
        raw = [(name.encode(), value.encode()) for name, value in answered.items()]
        return SimpleNamespace(url=url, status=200, headers=answered, raw_headers=raw)

    monkeypatch.setattr(aiohttp.ClientSession, "request", request)
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
            ours = sent[-1]
            url = URL(ours.url, encoded=True)
            assert ours.headers["Authorization"] == sdk_authorization(
                ReadOnlyCredentials("testing", "testing", None),
                service="s3",
                region=scope(ours).split("/")[2],
                method="GET",
                host=url.host_port_subcomponent or "",
                path=url.raw_path,
                at=datetime.strptime(ours.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"),  # noqa: DTZ007
            )


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


async def test_objects_are_read_by_way_of_the_sdks_proxy(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_proxy(monkeypatch)
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(2):
            assert await fetch(clients) == b"sound"
    assert server.by_us[0].host == server.by_sdk[0].host == "aws.invalid"
