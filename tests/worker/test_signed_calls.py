"""The calls that every message gets: made as the SDK makes them, and left to it where need be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiobotocore.config import AioConfig
from aiohttp import web
from botocore.exceptions import ClientError, NoCredentialsError

from tests.worker.aws_server import Answer, AwsServer, cut, heard, running
from worker import aws, sdk_ways, signed_calls
from worker.aws import AwsClients, open_clients
from worker.metrics import Metrics
from worker.queue import Queue, new_attempt_id
from worker.sdk_ways import LEFT_TO_SDK_S
from worker.sdk_wire import Place

URL = "https://sqs.test/000000000000/jobs"
DELETE: dict[str, Any] = {"QueueUrl": URL, "Entries": [{"Id": "0", "ReceiptHandle": "r-한"}]}
RECEIVE: dict[str, Any] = {"QueueUrl": URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}


async def deleted(_: web.Request) -> web.StreamResponse:
    return json_reply({"Successful": [{"Id": "0"}], "Failed": []})


def json_reply(body: Any, status: int = 200) -> web.Response:
    headers = {"x-amzn-RequestId": "R1", "Content-Type": "application/x-amz-json-1.0"}
    return web.Response(body=orjson.dumps(body), status=status, headers=headers)


def refusing(status: int, code: str = "Refused") -> Any:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return json_reply({"__type": f"com.amazonaws.sqs#{code}", "message": "no"}, status)

    return refuse


@pytest_asyncio.fixture
async def server(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    made = AwsServer(deleted)
    async with running(made, monkeypatch):
        yield made


@pytest_asyncio.fixture
async def clients(server: AwsServer) -> AsyncIterator[AwsClients]:
    """Clients that have made the call before, so that they know how."""
    async with open_clients(wait_time_s=0) as opened:
        await opened.calls.ask("DeleteMessageBatch", DELETE)
        server.forget()
        yield opened


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is logged of calls that are left to the SDK."""
    return heard(signed_calls, monkeypatch)


async def delete(clients: AwsClients) -> Any:
    return await clients.calls.ask("DeleteMessageBatch", DELETE)


# --- against a queue


@pytest.mark.parametrize("fifo", [False, True])
async def test_a_message_is_received_renewed_and_deleted_without_the_sdks_calls(
    moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, fifo: bool
) -> None:
    async with open_clients(wait_time_s=0) as clients:
        sqs: Any = clients.sqs
        suffix, options = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
        made = await sqs.create_queue(QueueName=f"jobs{suffix}", Attributes=options)
        url = made["QueueUrl"]
        queue = Queue(sqs, url, Metrics(), calls=clients.calls)

        async def send() -> None:
            group = {"MessageGroupId": "g", "MessageDeduplicationId": new_attempt_id()}
            await sqs.send_message(
                QueueUrl=url,
                MessageBody="한 \t<&>\U0001f3a4",
                MessageAttributes={
                    "job_type": {"DataType": "String", "StringValue": "t–1"},
                    "weight": {"DataType": "Number.int", "StringValue": "7"},
                    "raw": {"DataType": "Binary", "BinaryValue": b"\xff\x00"},
                },
                **(group if fifo else {}),
            )

        async def one_by_one() -> Any:
            await send()
            (message,) = await queue.receive(
                10, wait_s=0, visibility_s=30, attempt_id=new_attempt_id()
            )
            assert await queue.extend([message], [60]) == [True]
            await queue.delete(message)
            assert await queue.depth() == 0
            return message

        by_sdk = await one_by_one()
        for name in (
            "receive_message",
            "change_message_visibility_batch",
            "delete_message_batch",
        ):
            monkeypatch.setattr(sqs, name, None)
        by_us = await one_by_one()
        for name in ("body", "attributes", "raw_attributes", "receive_count", "group_id"):
            assert getattr(by_us, name) == getattr(by_sdk, name)
        assert by_us.raw_attributes["raw"]["BinaryValue"] == b"\xff\x00"
        assert type(by_us.sent_at) is type(by_sdk.sent_at)
        assert await queue.receive(10, wait_s=0, visibility_s=30) == []


# --- how it is asked


async def test_the_sdk_asks_first_and_so_says_how(server: AwsServer) -> None:
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(3):
            reply = await delete(clients)
            assert reply["Successful"] == [{"Id": "0"}]
            assert reply["ResponseMetadata"]["RequestId"] == "R1"
    assert (len(server.by_us), len(server.by_sdk)) == (2, 1)
    (ours, _), (sdks,) = server.by_us, server.by_sdk
    assert (ours.method, ours.raw_path, ours.host) == (sdks.method, sdks.raw_path, sdks.host)
    assert orjson.loads(await ours.read()) == orjson.loads(await sdks.read()) == DELETE
    for name in ("Content-Type", "X-Amz-Target", "X-Amzn-Query-Mode"):
        assert ours.headers[name] == sdks.headers[name]
    assert ours.headers["User-Agent"] == aws.USER_AGENT


async def test_each_queue_and_each_operation_is_the_sdks_first(
    server: AwsServer, clients: AwsClients
) -> None:
    await clients.calls.ask("ReceiveMessage", RECEIVE)
    await clients.calls.ask("DeleteMessageBatch", DELETE | {"QueueUrl": f"{URL}-2"})
    assert (len(server.by_us), len(server.by_sdk)) == (0, 2)
    await delete(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (1, 2)


async def test_another_operation_is_always_the_sdks(server: AwsServer, clients: AwsClients) -> None:
    for _ in range(3):
        await clients.calls.ask("PurgeQueue", {"QueueUrl": URL})
    assert (len(server.by_us), len(server.by_sdk)) == (0, 3)


async def test_a_call_at_an_address_with_a_path_stays_the_sdks(
    server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = aws.config

    def below_a_path(**options: Any) -> AioConfig:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"{aws.endpoint_url()}/sqs/")
        return configured(**options)

    monkeypatch.setattr(aws, "config", below_a_path)
    async with open_clients(wait_time_s=0) as clients:
        for _ in range(3):
            await delete(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (0, 3)
    assert server.by_sdk[0].path == "/sqs/"


async def test_no_more_queues_are_remembered_than_a_worker_may_have(
    server: AwsServer, clients: AwsClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_calls, "QUEUES_KEPT", 1)
    for number in range(10):
        await clients.calls.ask("DeleteMessageBatch", DELETE | {"QueueUrl": f"{URL}-{number}"})
    assert len(clients.calls._ways) == len(signed_calls.OPERATIONS)


NULLS = {"Messages": None, "Failed": None, "Successful": [{"Id": "0"}]}
SPARSE = {
    "Messages": [
        {"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "MessageAttributes": None},
        {
            "MessageId": "n",
            "ReceiptHandle": "r",
            "Body": "b",
            "Attributes": None,
            "MessageAttributes": {"a": {"DataType": "String", "StringValue": None}},
        },
    ]
}


@pytest.mark.parametrize("body", [NULLS, SPARSE], ids=["top", "messages"])
async def test_what_is_null_is_left_out_as_the_sdk_leaves_it_out(
    server: AwsServer, body: dict[str, Any]
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return json_reply(body)

    server.ours = server.sdks = answer
    async with open_clients(wait_time_s=0) as clients:
        by_sdk, by_us = [await clients.calls.ask("ReceiveMessage", RECEIVE) for _ in range(2)]
    assert (len(server.by_us), len(server.by_sdk)) == (1, 1)
    for reply in (by_sdk, by_us):
        del reply["ResponseMetadata"]
    known = {name: by_us[name] for name in by_us if name == "Messages"}
    assert known == by_sdk


# --- what is refused


async def garbled(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"Successful": [')


async def nothing(_: web.Request) -> web.StreamResponse:
    return json_reply(None)


@pytest.mark.parametrize(
    "refused",
    [
        (refusing(400), "status 400"),
        (refusing(403), "status 403"),
        (garbled, "no JSON"),
        (nothing, "no JSON"),
    ],
    ids=["400", "403", "garbled", "null"],
)
async def test_what_is_refused_to_us_alone_is_left_to_the_sdk_for_a_while(
    server: AwsServer,
    clients: AwsClients,
    said: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    refused: tuple[Answer, str],
) -> None:
    now = 1000.0
    monkeypatch.setattr(sdk_ways, "monotonic", lambda: now)
    server.ours, reason = refused
    for _ in range(3):
        assert (await delete(clients))["Successful"] == [{"Id": "0"}]
    assert (len(server.by_us), len(server.by_sdk)) == (1, 3)
    told = {"operation": "DeleteMessageBatch", "queue": URL, "reason": reason}
    assert said == [("signed_call_refused", told)]

    server.ours = deleted
    now += LEFT_TO_SDK_S - 1
    await delete(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (1, 4)
    now += 1
    await delete(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (2, 4)


@pytest.mark.parametrize(
    "answer",
    [refusing(429), refusing(500), refusing(400, "RequestThrottled"), cut],
    ids=["429", "500", "throttled", "cut"],
)
async def test_what_fails_for_a_moment_is_the_sdks_for_that_call(
    server: AwsServer, clients: AwsClients, said: list[Any], answer: Answer
) -> None:
    server.ours = answer
    assert (await delete(clients))["Successful"] == [{"Id": "0"}]
    assert (len(server.by_us), len(server.by_sdk)) == (1, 1)
    server.ours = deleted
    assert (await delete(clients))["Successful"] == [{"Id": "0"}]
    assert (len(server.by_us), len(server.by_sdk)) == (2, 1)
    assert not said


async def test_what_the_sdk_is_refused_as_well_fails_as_its_own_call_does(
    server: AwsServer, clients: AwsClients, said: list[Any]
) -> None:
    server.ours = server.sdks = refusing(400)
    for _ in range(2):
        with pytest.raises(ClientError, match="Refused"):
            await delete(clients)
    assert (len(server.by_us), len(server.by_sdk)) == (2, 2)
    assert not said


async def test_many_refused_at_once_are_left_to_the_sdk_once(
    server: AwsServer, clients: AwsClients, said: list[Any]
) -> None:
    server.ours = refusing(403)
    await asyncio.gather(*(delete(clients) for _ in range(8)))
    assert len(said) == 1


async def test_without_credentials_the_failure_is_the_sdks(
    server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    async with open_clients(wait_time_s=0) as clients:
        with pytest.raises(NoCredentialsError):
            await delete(clients)


async def test_a_server_that_goes_away_is_told_of_by_the_sdk(
    server: AwsServer, clients: AwsClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        way = clients.calls._ways["DeleteMessageBatch", URL]
        place = Place(f"{gone}/", way.place.region)
        clients.calls._ways["DeleteMessageBatch", URL] = sdk_ways.Way(place, way.headers)
        assert (await delete(clients))["Successful"] == [{"Id": "0"}]
    assert (len(server.by_us), len(server.by_sdk)) == (0, 1)
