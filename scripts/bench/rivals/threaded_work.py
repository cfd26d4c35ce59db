"""The work of a job for the systems that run it in a thread: fetch one object, post one event."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import boto3
import urllib3
from botocore.config import Config

from scripts.bench.rivals.event import event

THREADS: Final = int(os.environ.get("BENCH_THREADS", "8"))
"""Of this process."""

# A boto3 client may be used from many threads, and so may a urllib3 pool (boto3's guide,
# "Multithreading"; urllib3's, "Advanced usage"): a kept connection for each thread.
_S3: Final = boto3.client(
    "s3",
    endpoint_url=os.environ["BENCH_S3"],
    config=Config(max_pool_connections=THREADS, s3={"addressing_style": "path"}),
)
_HTTP: Final = urllib3.PoolManager(maxsize=THREADS, block=True)


def work(job: Mapping[str, str]) -> None:
    """Do one job.

    Raises
    ------
    RuntimeError
        The event was not accepted; the message then stays.
    """
    bucket, _, key = job["s3_audio_url"].removeprefix("s3://").partition("/")
    _S3.get_object(Bucket=bucket, Key=key)["Body"].read()
    reply = _HTTP.request(
        "POST",
        job["webhook_url"],
        body=event(job),
        headers={"content-type": "application/json"},
    )
    if reply.status != 204:
        raise RuntimeError(f"{job['webhook_url']} answered {reply.status}")
