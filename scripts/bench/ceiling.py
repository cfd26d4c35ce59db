"""What the SQS server itself can do, before anybody is measured on it.

A bare aiobotocore client with many tasks receives and deletes a standing queue, in tens and one
by one. A system that comes near to these numbers is held up by the server and not by itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from scripts.bench import bench_queue
from scripts.bench.systems import Letter

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

TASKS: Final = 20
MESSAGE: Final = Letter('{"job_id":"ceiling"}')


def in_tens(address: str, messages: int, *, tasks: int = TASKS) -> float:
    """Messages received and deleted a second, ten a call: two calls for ten messages."""
    return asyncio.run(_drained(address, messages, bench_queue.BATCH, tasks))


def one_by_one(address: str, messages: int, *, tasks: int = TASKS) -> float:
    """Messages received and deleted a second, one a call: two calls for each message."""
    return asyncio.run(_drained(address, messages, 1, tasks))


async def _drained(address: str, messages: int, batch: int, tasks: int) -> float:
    with bench_queue.made(address, f"ceiling-{batch}") as queue:
        queue.fill([MESSAGE] * messages)
        async with get_session().create_client(
            "sqs",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106  the server asks for some key
            config=AioConfig(max_pool_connections=tasks),
        ) as sqs:
            began = time.perf_counter()
            taken = await asyncio.gather(*(_drain(sqs, queue.url, batch) for _ in range(tasks)))
            took_s = time.perf_counter() - began
    if sum(taken) < messages:
        raise RuntimeError(f"{sum(taken)} of {messages} messages came out of the server")
    return messages / took_s


async def _drain(sqs: SQSClient, url: str, batch: int) -> int:
    """Receive and delete until nothing is left; how many there were."""
    taken = 0
    while True:
        reply = await sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=batch, WaitTimeSeconds=0
        )
        messages = reply.get("Messages", [])
        if not messages:
            return taken
        taken += len(messages)
        if batch == 1:
            await sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
            continue
        entries: list[Any] = [
            {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
            for index, message in enumerate(messages)
        ]
        await sqs.delete_message_batch(QueueUrl=url, Entries=entries)
