"""taskiq with taskiq-aio-sqs.

    python -m taskiq worker scripts.bench.rivals.taskiq_app:broker --workers 1 …

Knobs, from taskiq's worker reference and the broker's README: ten messages a receive
(`max_number_of_messages`), long polls, `--max-async-tasks` for how many run at once, a prefetch
of as many again so that none waits for a receive, `--ack-type when_executed` (deleted after the
work; there is no result to save), `--no-parse` (no pydantic pass over the arguments), uvloop (its
extra `uv`). aiobotocore and aiohttp as the clients, one of each for the process.

It deletes messages one by one, and cuts its long polls into ones of a second.
"""

from __future__ import annotations

import os
from typing import Any, Final

from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_sqs import SQSBroker

from scripts.bench.rivals.event import event

CONNECTIONS: Final = 32

broker: Final[Any] = SQSBroker(
    os.environ["BENCH_QUEUE_NAME"],
    endpoint_url=os.environ["BENCH_SQS"],
    region_name="us-east-1",
    aws_access_key_id="local",
    aws_secret_access_key="local",  # noqa: S106  the server asks for some key
    max_number_of_messages=10,
    wait_time_seconds=20,
)
_CLIENTS: Final[dict[str, Any]] = {}


async def _open(_: TaskiqState) -> None:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session
    from aiohttp import ClientSession, TCPConnector

    _CLIENTS["s3"] = (
        await get_session()
        .create_client(
            "s3",
            endpoint_url=os.environ["BENCH_S3"],
            config=AioConfig(max_pool_connections=CONNECTIONS, s3={"addressing_style": "path"}),
        )
        .__aenter__()
    )
    _CLIENTS["http"] = ClientSession(connector=TCPConnector(limit=CONNECTIONS))


async def _work(job: dict[str, str]) -> None:
    bucket, _, key = job["s3_audio_url"].removeprefix("s3://").partition("/")
    reply = await _CLIENTS["s3"].get_object(Bucket=bucket, Key=key)
    async with reply["Body"] as stream:
        await stream.read()
    posted = _CLIENTS["http"].post(
        job["webhook_url"], data=event(job), headers={"content-type": "application/json"}
    )
    async with posted as answer:
        if answer.status != 204:
            raise RuntimeError(f"{job['webhook_url']} answered {answer.status}")


broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, _open)
fetch: Final[Any] = broker.register_task(_work, task_name="fetch")


def _write_letters() -> None:
    from scripts.bench.rivals import letters

    def body(job: dict[str, str]) -> str:
        message = fetch.kicker()._prepare_message(job)
        return str(broker.formatter.dumps(message).message.decode())

    letters.write(body)


if __name__ == "__main__":
    _write_letters()
