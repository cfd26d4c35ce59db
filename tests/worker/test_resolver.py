"""Name look-ups: one for each name, and none that holds up another."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest

from tests.worker.waiting import until
from worker.resolver import (
    MAX_LOOKUPS,
    MAX_LOOKUPS_OF_A_DOMAIN,
    MAX_THREADS,
    SystemResolver,
)

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


async def test_a_domain_whose_name_server_is_dead_leaves_threads_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    stuck = [
        asyncio.create_task(resolver(f"slow.{number}.example.com", 443)) for number in range(200)
    ]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(resolver("127.0.0.1", 443), 5) == ("127.0.0.1",)
    assert release.calls == MAX_LOOKUPS_OF_A_DOMAIN  # type: ignore[attr-defined]
    release()
    await asyncio.wait_for(asyncio.gather(*stuck), 20)


async def test_names_below_one_registry_are_not_one_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    dead = [asyncio.create_task(resolver(f"slow.{n}.gone.co.kr", 443)) for n in range(16)]
    other = asyncio.create_task(resolver("slow.other.co.kr", 443))
    await until(lambda: release.calls > MAX_LOOKUPS_OF_A_DOMAIN)  # type: ignore[attr-defined]
    assert release.calls == MAX_LOOKUPS_OF_A_DOMAIN + 1  # type: ignore[attr-defined]
    release()
    await asyncio.gather(*dead, other)


async def test_a_look_up_waits_for_a_thread_as_long_as_its_caller_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    stuck = [
        asyncio.create_task(resolver(f"slow.{number}.test", 443)) for number in range(MAX_LOOKUPS)
    ]
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver("127.0.0.1", 443), 0.05)
    patient = asyncio.create_task(resolver("127.0.0.1", 443))
    await asyncio.sleep(0)
    assert not patient.done()
    release()
    assert await asyncio.wait_for(patient, 5) == ("127.0.0.1",)
    await asyncio.gather(*stuck)
    assert resolver._lookups == {}


async def test_look_ups_that_are_overdue_keep_nobody_from_a_thread_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.resolver.OVERDUE_S", 0.01)
    release = await _slow_getaddrinfo(monkeypatch)
    resolver = SystemResolver()
    stuck = [
        asyncio.create_task(resolver(f"slow.{number}.test", 443)) for number in range(MAX_LOOKUPS)
    ]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(resolver("127.0.0.1", 443), 5) == ("127.0.0.1",)
    stuck += [asyncio.create_task(resolver(f"slow.{n}.more", 443)) for n in range(2 * MAX_THREADS)]
    await until(lambda: _threads() >= MAX_THREADS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver("127.0.0.1", 443), 0.1)
    assert _threads() == MAX_THREADS
    release()
    await asyncio.wait_for(asyncio.gather(*stuck), 20)


async def test_a_thread_that_cannot_be_started_leaves_the_name_to_be_looked_up_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = SystemResolver()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread"):
            await resolver("127.0.0.1", 443)
    assert await asyncio.wait_for(resolver("127.0.0.1", 443), 5) == ("127.0.0.1",)


async def test_a_failed_look_up_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = SystemResolver()
    with pytest.raises(OSError):  # noqa: PT011  whatever the machine's resolver says
        await resolver("does-not-exist.invalid", 443)
    with pytest.raises(OSError):  # noqa: PT011
        await resolver("a" * 300, 443)


def _threads() -> int:
    return sum(thread.name.startswith("resolve-") for thread in threading.enumerate())


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
