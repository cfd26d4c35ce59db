"""The AWS clients: made once, in one way, for the worker and for the people's side."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import aiobotocore
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.utils import parse_timestamp

from worker import __version__
from worker.objects import SignedObjects
from worker.sdk_wire import open_wire
from worker.signed_calls import SignedCalls

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sqs import SQSClient

CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_MARGIN_S: Final = 10
"""How much longer the SDK waits for an answer than the longest long poll."""

S3_READ_TIMEOUT_S: Final = 20

USER_AGENT: Final = f"analysis-worker/{__version__} aiobotocore/{aiobotocore.__version__}"

DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True)
class AwsClients:
    """One SQS and one S3 client, with the session that further ones can be made from."""

    session: AioSession
    sqs: SQSClient
    s3: S3Client
    objects: SignedObjects
    calls: SignedCalls


def region() -> str:
    """The region to use.

    boto3 and aiobotocore read only AWS_DEFAULT_REGION, while the other SDKs and ECS say
    AWS_REGION; read that first. With a local endpoint any region will do.
    """
    return (
        os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or get_session().get_config_variable("region")
        or DEFAULT_REGION
    )


def endpoint_url() -> str | None:
    """The local stack's address, where one is set for the SDK."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def config(*, read_timeout_s: float, max_connections: int, attempts: int = 3) -> AioConfig:
    """Client configuration: bounded time-outs, the SDK's standard retries, path style if local."""
    return AioConfig(
        # The SDK's own is put together anew for every request, a tenth of a call's cost.
        user_agent=USER_AGENT,
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        max_pool_connections=max_connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"} if endpoint_url() else {},
    )


def read_timestamp(value: str | float) -> datetime:
    """Read a date as S3 and SQS write it: RFC 9110 in headers, ISO 8601 in bodies, Unix seconds.

    The SDK's own tries every form that there is, for longer than it takes to sign the request.
    """
    if isinstance(value, str):
        for read in (datetime.fromisoformat, parsedate_to_datetime):
            with suppress(ValueError):
                found = read(value)
                return found if found.tzinfo else found.replace(tzinfo=UTC)
    other: datetime = parse_timestamp(value)  # type: ignore[arg-type]  # it takes numbers too
    return other


@asynccontextmanager
async def open_clients(
    *, wait_time_s: float = 20, max_connections: int = 64, session: AioSession | None = None
) -> AsyncIterator[AwsClients]:
    """Open the clients, and close their connections at the end.

    Parameters
    ----------
    wait_time_s
        The long poll; the SDK's read timeout is set above it, or it would cut every empty poll.
    """
    session = session or get_session()
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=read_timestamp)
    where = region()
    async with AsyncExitStack() as stack:
        how = partial(config, max_connections=max_connections)
        sqs, s3 = [
            await stack.enter_async_context(
                open_wire(
                    session,
                    service,
                    how(read_timeout_s=read_timeout_s),
                    region=where,
                    user_agent=USER_AGENT,
                )
            )
            for service, read_timeout_s in (
                ("sqs", wait_time_s + READ_TIMEOUT_MARGIN_S),
                ("s3", S3_READ_TIMEOUT_S),
            )
        ]
        yield AwsClients(session, sqs.client, s3.client, SignedObjects(s3), SignedCalls(sqs))
