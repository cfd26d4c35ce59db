"""The proxy counts each SQS request once by its operation, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from scripts.bench import request_count
from scripts.bench.http_stream import RequestReader
from scripts.bench.request_count import CountClient, operation

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def proxy(moto_server: str, tmp_path: Path) -> Iterator[CountClient]:
    with request_count.running(moto_server, tmp_path) as client:
        yield client


def test_what_an_sdk_asks_is_counted_by_operation(proxy: CountClient) -> None:
    sqs: SQSClient = boto3.client(
        "sqs",
        endpoint_url=proxy.address,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    url = sqs.create_queue(QueueName="counted")["QueueUrl"]
    proxy.forget()
    sqs.send_message_batch(
        QueueUrl=url, Entries=[{"Id": str(index), "MessageBody": "x" * 1000} for index in range(10)]
    )
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    for message in received[:2]:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert len(received) == 10
    assert proxy.counts() == {"SendMessageBatch": 1, "ReceiveMessage": 1, "DeleteMessage": 2}
    proxy.forget()
    assert proxy.counts() == {}


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (b"POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.ReceiveMessage\r\n\r\n", "ReceiveMessage"),
        (
            b"POST /1/q HTTP/1.1\r\nContent-Length: 34\r\n\r\nAction=DeleteMessage&QueueUrl=q%2F1",
            "DeleteMessage",
        ),
        (b"GET /1/q?Action=GetQueueAttributes HTTP/1.1\r\n\r\n", "GetQueueAttributes"),
        (b"GET /health HTTP/1.1\r\n\r\n", "unknown"),
    ],
)
def test_an_operation_is_named_in_the_json_and_in_the_query_protocol(
    sent: bytes, named: str
) -> None:
    (request,) = RequestReader().feed(sent)
    assert operation(request) == named
