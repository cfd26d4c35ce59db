"""Name look-ups: one for each name, and none that holds up another."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest

from worker.resolver import SystemResolver

PUBLIC = "93.184.215.14"


async def test_one_name_that_many_wait_for_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    waiting = [asyncio.create_task(resolver("slow.example.com", 443)) for _ in range(20)]
    await asyncio.sleep(0)
    assert await resolver("127.0.0.1", 443) == ("127.0.0.1",)
    release()
    assert set(await asyncio.gather(*waiting)) == {(PUBLIC,)}
    assert release.calls == 1  # type: ignore[attr-defined]


async def test_a_caller_who_gives_up_ends_no_look_up_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    impatient = asyncio.create_task(resolver("slow.example.com", 443))
    patient = asyncio.create_task(resolver("slow.example.com", 443))
    await asyncio.sleep(0)
    impatient.cancel()
    release()
    assert await patient == (PUBLIC,)


async def test_dead_name_servers_leave_threads_for_the_other_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    stuck = [
        asyncio.create_task(resolver(f"slow.{number}.example.com", 443)) for number in range(31)
    ]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(resolver("127.0.0.1", 443), 5) == ("127.0.0.1",)
    stuck.append(asyncio.create_task(resolver("slow.31.example.com", 443)))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="under way"):
        await resolver("one.too.many.example.com", 443)
    release()
    await asyncio.gather(*stuck)


async def test_a_failed_look_up_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = SystemResolver()
    with pytest.raises(OSError):  # noqa: PT011  whatever the machine's resolver says
        await resolver("does-not-exist.invalid", 443)
    with pytest.raises(OSError):  # noqa: PT011
        await resolver("a" * 300, 443)


async def _slow_getaddrinfo(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make look-ups of slow.* wait until the returned function is called; it counts them."""
    gate = threading.Event()
    real = socket.getaddrinfo

    def release() -> None:
        gate.set()

    release.calls = 0  # type: ignore[attr-defined]

    def slow(host: str, port: int, *args: object, **options: object) -> object:
        if not host.startswith("slow."):
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        release.calls += 1  # type: ignore[attr-defined]
        assert gate.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    return release
