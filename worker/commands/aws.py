"""One asynchronous command with AWS clients: opened, run, closed, its failures put in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from worker.commands.errors import CommandError, fail

if TYPE_CHECKING:
    from worker.aws import AwsClients

T = TypeVar("T")


def with_clients(work: Callable[[AwsClients], Awaitable[T]]) -> T:
    """Run `work`; AWS's refusals become one line and exit code 1."""
    from botocore.exceptions import BotoCoreError, ClientError

    from worker.aws import open_clients

    async def main() -> T:
        async with open_clients() as clients:
            return await work(clients)

    try:
        return asyncio.run(main())
    except ExceptionGroup as group:
        known = group.subgroup((CommandError, ClientError, BotoCoreError, OSError))
        if known is None:
            raise
        _fail(_first(known))
    except (CommandError, ClientError, BotoCoreError, OSError) as error:
        _fail(error)
    except KeyboardInterrupt:
        fail("Interrupted; what was read is visible again.", code=130)


def _fail(error: BaseException) -> NoReturn:
    if isinstance(error, CommandError):
        fail(str(error), code=error.code)
    fail(sentence(error))


def sentence(error: BaseException) -> str:
    """What AWS refused, and where to look."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        block = error.response.get("Error", {})
        what = f"{error.operation_name} failed: {block.get('Code')}: {block.get('Message')}"
    else:
        what = f"{type(error).__name__}: {error}"
    return f"{what}\nRun `analysis-worker check`: it looks at credentials, region, queues and more."


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
