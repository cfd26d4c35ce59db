"""Celery on its SQS transport.

    python -m celery -A scripts.bench.rivals.celery_app worker -P threads -c 8 …

Knobs, from Celery's "Optimizing", "Using Amazon SQS" and kombu's reference of the transport:

- `-P threads`: jobs that wait for the network belong in threads (or greenlets, with which the
  transport's own event loop and its asynchronous receive are off); no copy between processes.
  Tried and not better: prefork with one child and with four, 4 and 16 threads.
- `worker_prefetch_multiplier`: "if you have many short tasks, and throughput is important, this
  number should be large": the transport then always asks for ten.
- `wait_time_seconds` 20 and `polling_interval` 0: long polls alone, no pause of its own.
- `task_acks_late`: deleted after the work, which is what ours promises too.
- `predefined_queues`: no ListQueues; remote control, events, gossip, mingle and heartbeats off,
  as the SQS page asks for the first and the others need; results ignored, rate limits off.

It deletes messages one by one; the transport has no batched delete.
"""

from __future__ import annotations

import os
from typing import Any, Final

from celery import Celery

QUEUE: Final = os.environ["BENCH_QUEUE_NAME"]

app: Final[Any] = Celery(
    "bench", broker=os.environ["BENCH_SQS"].replace("http://", "sqs://local:local@")
)
app.conf.update(
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "wait_time_seconds": 20,
        "polling_interval": 0,
        "visibility_timeout": 300,
        "predefined_queues": {
            QUEUE: {
                "url": os.environ["BENCH_QUEUE_URL"],
                "access_key_id": "local",
                "secret_access_key": "local",
            }
        },
    },
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
)


def _work(job: dict[str, str]) -> None:
    from scripts.bench.rivals.threaded_work import work

    work(job)


fetch: Final[Any] = app.task(name="fetch")(_work)


def _write_letters() -> None:
    """Let Celery's own producer write each message, and catch what it hands to the transport."""
    from kombu import Connection, Producer, Queue
    from kombu.asynchronous.aws.sqs.message import AsyncMessage
    from kombu.utils.json import dumps

    from scripts.bench.rivals import letters

    with Connection("memory://") as connection:
        channel = connection.channel()
        producer = Producer(channel)
        queue = Queue(QUEUE, channel=channel)
        queue.declare()

        def body(job: dict[str, str]) -> str:
            fetch.apply_async(args=[job], producer=producer, queue=queue, retry=False)
            return str(AsyncMessage().encode(dumps(channel._get(QUEUE))))

        letters.write(body)


if __name__ == "__main__":
    _write_letters()
