"""Dramatiq with dramatiq-sqs.

    python -m dramatiq --processes 1 --threads 8 scripts.bench.rivals.dramatiq_app

Knobs, from Dramatiq's "Advanced Topics" and the READMEs: threads for jobs that wait for the
network, processes for more cores; a prefetch of ten (`dramatiq_queue_prefetch`; the most that the
broker takes), long polls of 20 s (the broker's default), and of the middleware only what every
deployment needs: retries, and the limits that cost nothing until they are used.

It deletes messages one by one, and asks for more only while fewer than ten are in hand.
"""

from __future__ import annotations

import os
from typing import Any, Final

import dramatiq
from dramatiq.middleware import AgeLimit, Retries, ShutdownNotifications, TimeLimit
from dramatiq_sqs import SQSBroker

QUEUE: Final = os.environ["BENCH_QUEUE_NAME"]

broker: Final[Any] = SQSBroker(
    endpoint_url=os.environ["BENCH_SQS"],
    region_name="us-east-1",
    visibility_timeout=300,
    middleware=[AgeLimit(), TimeLimit(), ShutdownNotifications(), Retries()],
)
dramatiq.set_broker(broker)


def _work(job: dict[str, str]) -> None:
    from scripts.bench.rivals.threaded_work import work

    work(job)


fetch: Final[Any] = dramatiq.actor(actor_name="fetch", queue_name=QUEUE)(_work)


def _write_letters() -> None:
    from base64 import b64encode

    from scripts.bench.rivals import letters

    letters.write(lambda job: b64encode(fetch.message(job).encode()).decode())


if __name__ == "__main__":
    _write_letters()
