"""The least a queue worker does: receive ten, POST each, delete ten. The yardstick of throughput.

    python -m scripts.bench.bare_loop

aiobotocore and httpx as their documentation shows them, and nothing of what makes a worker safe: no
lease, no retries, no time limits, no signature, no metrics, no second process. Where it works is
in the environment: `BENCH_SQS`, `BENCH_QUEUE_URL`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import httpx
import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

BATCH: Final = 10
WAIT_S: Final = 1
POLLS: Final = 4
"""At once: one alone would leave the loop idle while the server answers."""


async def _run() -> None:
    config = AioConfig(max_pool_connections=2 * POLLS)
    async with (
        get_session().create_client(
            "sqs", endpoint_url=os.environ["BENCH_SQS"], config=config
        ) as sqs,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        await asyncio.gather(*(_poll(sqs, client) for _ in range(POLLS)))


async def _poll(sqs: Any, client: httpx.AsyncClient) -> None:
    url = os.environ["BENCH_QUEUE_URL"]
    while True:
        reply = await sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_S
        )
        messages = reply.get("Messages", ())
        if not messages:
            continue
        await asyncio.gather(*(_post(client, orjson.loads(one["Body"])) for one in messages))
        await sqs.delete_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]}
                for number, one in enumerate(messages)
            ],
        )


async def _post(client: httpx.AsyncClient, job: dict[str, Any]) -> None:
    event = {
        "type": "analysis.completed",
        "data": {"job_id": job["job_id"], "status": "completed", "result": {"scores": {}}},
    }
    reply = await client.post(job["webhook_url"], content=orjson.dumps(event))
    reply.raise_for_status()


if __name__ == "__main__":
    asyncio.run(_run())
