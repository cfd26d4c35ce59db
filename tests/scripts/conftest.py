"""What the tests of the scripts share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from scripts.inbox import InboxSettings
from tests.scripts.inbox_sender import SECRET, Running, Sender


@pytest.fixture
def inbox_settings(tmp_path: Path) -> InboxSettings:
    return InboxSettings(database=tmp_path / "inbox.sqlite3", secrets=[SECRET], port=0)


@pytest.fixture
async def sender(
    inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Sender]:
    """An inbox that is running, and somebody who may write to it."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(Running(inbox_settings, capsys))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Sender(url, http)
