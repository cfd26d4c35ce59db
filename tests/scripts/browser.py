"""A headless Chromium, driven over its own DevTools protocol: no driver to install, no library."""

import asyncio
import base64
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 30.0
CONDITION_TIMEOUT_S = 20.0
MAX_MESSAGE_BYTES = 64 << 20  # a screenshot comes as one message


# Where to keep the pictures, to look at them or to renew docs/images.
KEEP_VARIABLE = "INBOX_SCREENSHOTS"


def keep(picture: bytes, name: str) -> None:
    """Write a picture into the folder that the environment names, if it names one."""
    if folder := os.environ.get(KEEP_VARIABLE):
        Path(folder, f"{name}.png").write_bytes(picture)


def executable() -> str | None:
    """The browser on this machine, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str) -> None:
        self._socket = socket
        self._session_id = session_id
        self._ids = itertools.count(1000)
        self.problems: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol in this tab; events that come first are looked at."""
        number = next(self._ids)
        await self._socket.send_json(
            {"id": number, "method": method, "params": params, "sessionId": self._session_id}
        )
        async with asyncio.timeout(CALL_TIMEOUT_S):
            while True:
                message = json.loads((await self._socket.receive()).data)
                if message.get("id") == number:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result
                self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("sessionId") != self._session_id:
            return  # of a tab that was closed
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait in the page until an expression is truthy; what it was."""
        look = (
            f"const look = () => {{ const v = {expression}; v ? done(v) : setTimeout(look, 20) }}"
        )
        async with asyncio.timeout(CONDITION_TIMEOUT_S):
            return await self.evaluate(f"new Promise((done) => {{ {look}; look(); }})")

    async def size(self, width: int, height: int, *, scale: float = 1.0) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    async def prefer(self, colours: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": colours}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self) -> bytes:
        """The page as it is shown, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])


class Browser:
    """One running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    @classmethod
    @asynccontextmanager
    async def launch(cls, program: str, profile: Path) -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            program,
            "--headless=new",
            "--no-sandbox",  # containers run as root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            address = await _devtools_address(process)
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address, max_msg_size=MAX_MESSAGE_BYTES) as socket,
            ):
                yield cls(socket)
                await socket.send_json({"id": 1, "method": "Browser.close"})
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Open a tab, and close it."""
        created = await self._call("Target.createTarget", url="about:blank")
        target = created["targetId"]
        attached = await self._call("Target.attachToTarget", targetId=target, flatten=True)
        yield Page(self._socket, attached["sessionId"])
        await self._call("Target.closeTarget", targetId=target)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        await self._socket.send_json({"id": 2, "method": method, "params": params})
        async with asyncio.timeout(CALL_TIMEOUT_S):
            while True:
                message = json.loads((await self._socket.receive()).data)
                if message.get("id") == 2:
                    result: dict[str, Any] = message["result"]
                    return result


async def _devtools_address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(START_TIMEOUT_S):
        async for line in process.stderr:
            before, found, address = line.decode(errors="replace").partition("listening on ")
            if found and "DevTools" in before:
                return address.strip()
    raise RuntimeError("Chromium ended before it listened")
