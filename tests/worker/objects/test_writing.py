"""Results are written and removed by one request, which only what the SDK would get is asked by."""

from __future__ import annotations

import hashlib
from datetime import datetime

import pytest
from aiohttp import web
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from tests.worker.aws_server import cut
from tests.worker.objects.s3_server import PLACE, S3Server, storage_of
from tests.worker.sdk_signature import sdk_authorization
from worker.aws import AwsClients

DATA = b'{"score": 81}'
MARK = {"Job-Fingerprint": "f00"}


async def taken(_: web.Request) -> web.StreamResponse:
    return web.Response()


async def removed(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


def answering(status: int) -> object:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    return answer


async def test_what_is_written_is_what_the_sdk_would_write(
    server: S3Server, clients: AwsClients
) -> None:
    server.ours = server.sdks = taken
    assert await storage_of(clients).write(PLACE, DATA, metadata=MARK, if_absent=True)
    await clients.s3.put_object(
        Bucket=PLACE.bucket,
        Key=PLACE.key,
        Body=DATA,
        ContentType="application/json",
        Metadata=MARK,
        IfNoneMatch="*",
    )
    (ours,), (sdks,) = server.by_us, server.by_sdk
    assert await ours.read() == await sdks.read() == DATA
    assert (ours.method, ours.raw_path) == (sdks.method, sdks.raw_path)
    for name in ("content-type", "content-length", "if-none-match", "x-amz-meta-job-fingerprint"):
        assert ours.headers[name] == sdks.headers[name], name


async def test_what_is_written_is_signed_with_the_digest_of_its_body(
    server: S3Server, clients: AwsClients
) -> None:
    server.ours = taken
    await storage_of(clients).write(PLACE, DATA, metadata=MARK)
    (ours,) = server.by_us
    assert ours.headers["x-amz-content-sha256"] == hashlib.sha256(DATA).hexdigest()
    keys = await (await clients.session.get_credentials()).get_frozen_credentials()  # type: ignore[union-attr]
    assert ours.headers["Authorization"] == sdk_authorization(
        ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.token),
        service="s3",
        region=ours.headers["Authorization"].split("/")[2],
        method="PUT",
        host=ours.headers["Host"],
        path=ours.raw_path,
        at=datetime.strptime(ours.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"),  # noqa: DTZ007
        headers={
            "content-type": "application/json",
            "x-amz-meta-job-fingerprint": "f00",
        },
        body=DATA,
    )


async def test_a_result_that_is_there_is_told_by_one_request(
    server: S3Server, clients: AwsClients
) -> None:
    server.ours = answering(412)  # type: ignore[assignment]
    assert not await storage_of(clients).write(PLACE, DATA, if_absent=True)
    assert (len(server.by_us), len(server.by_sdk)) == (1, 0)


async def test_a_result_that_is_not_there_is_told_by_one_request(
    server: S3Server, clients: AwsClients
) -> None:
    server.ours = answering(404)  # type: ignore[assignment]
    assert await storage_of(clients).read(PLACE) is None
    assert (len(server.by_us), len(server.by_sdk)) == (1, 0)


async def test_what_an_object_is_marked_with_is_read(server: S3Server, clients: AwsClients) -> None:
    async def marked(_: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA, headers={"X-Amz-Meta-Job-Fingerprint": "f00"})

    server.ours = server.sdks = marked
    expected = DATA, {"job-fingerprint": "f00"}
    assert await storage_of(clients).read(PLACE) == expected
    server.ours = cut
    assert await storage_of(clients).read(PLACE) == expected


async def test_an_object_is_removed_by_one_request(server: S3Server, clients: AwsClients) -> None:
    server.ours = removed
    await storage_of(clients).remove(PLACE)
    (request,) = server.by_us
    assert (request.method, len(server.by_sdk)) == ("DELETE", 0)


@pytest.mark.parametrize("status", [301, 307, 400, 403, 500, 503, None])
async def test_what_is_refused_here_is_written_by_the_sdk(
    server: S3Server, clients: AwsClients, status: int | None
) -> None:
    server.ours = cut if status is None else answering(status)  # type: ignore[assignment]
    server.sdks = taken
    assert await storage_of(clients).write(PLACE, DATA)
    assert len(server.by_sdk) == 1
    server.sdks = removed
    await storage_of(clients).remove(PLACE)
    assert len(server.by_sdk) == 2


async def test_what_the_sdk_is_refused_as_well_fails_as_it_does(
    server: S3Server, clients: AwsClients
) -> None:
    server.refuse(403, "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        await storage_of(clients).write(PLACE, DATA)
    with pytest.raises(ClientError, match="AccessDenied"):
        await storage_of(clients).remove(PLACE)


@pytest.mark.parametrize("by", ["ours", "sdks"])
async def test_a_write_beside_another_is_repeated(
    server: S3Server, clients: AwsClients, by: str
) -> None:
    answers = iter([409, 200])

    async def contended(_: web.Request) -> web.StreamResponse:
        return web.Response(status=next(answers))

    if by == "ours":
        server.ours = contended
    else:
        server.ours, server.sdks = cut, contended
    assert await storage_of(clients).write(PLACE, DATA, if_absent=True)
    assert next(answers, None) is None
