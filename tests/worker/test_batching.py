"""Entries sent together, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from worker import batching
from worker.batching import ENTRY_ATTEMPTS, Batcher, EntryError

LONG_S = 60.0


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "RETRY_PAUSE_S", 0.0)


class Recorder:
    """Takes batches; refuses the entries it is told to, so many times."""

    def __init__(self, **refusals: int) -> None:
        self.batches: list[list[str]] = []
        self.refusals = refusals
        self.error: Exception | None = None

    async def __call__(self, entries: Sequence[str]) -> Mapping[int, str]:
        self.batches.append(list(entries))
        if self.error is not None:
            raise self.error
        failed = {}
        for i, entry in enumerate(entries):
            if self.refusals.get(entry, 0) > 0:
                self.refusals[entry] -= 1
                failed[i] = f"refused {entry}"
        return failed


async def test_a_full_batch_goes_at_once_and_the_rest_after_the_linger() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, 3, 0.01)
    await asyncio.gather(*(batcher.submit(name) for name in "abcde"))
    assert recorder.batches == [["a", "b", "c"], ["d", "e"]]


async def test_only_refused_entries_are_sent_again() -> None:
    recorder = Recorder(b=1)
    batcher = Batcher(recorder, 3, LONG_S)
    await asyncio.gather(*(batcher.submit(name) for name in "abc"))
    assert recorder.batches == [["a", "b", "c"], ["b"]]


async def test_an_entry_refused_to_the_end_is_told_and_the_others_are_not() -> None:
    recorder = Recorder(b=ENTRY_ATTEMPTS)
    batcher = Batcher(recorder, 3, LONG_S)
    answers = await asyncio.gather(
        *(batcher.submit(name) for name in "abc"), return_exceptions=True
    )
    assert answers[0] is answers[2] is None
    assert isinstance(answers[1], EntryError)
    assert str(answers[1]) == "refused b"
    assert len(recorder.batches) == ENTRY_ATTEMPTS


async def test_a_request_that_fails_to_the_end_is_told_to_everyone() -> None:
    recorder = Recorder()
    recorder.error = ConnectionResetError()
    batcher = Batcher(recorder, 2, LONG_S)
    answers = await asyncio.gather(*(batcher.submit(name) for name in "ab"), return_exceptions=True)
    assert all(isinstance(answer, ConnectionResetError) for answer in answers)
    assert len(recorder.batches) == ENTRY_ATTEMPTS


async def test_flush_sends_what_waits_and_waits_for_the_answers() -> None:
    recorder = Recorder(a=1)
    batcher = Batcher(recorder, 10, LONG_S)
    waiting = asyncio.create_task(batcher.submit("a"))
    await asyncio.sleep(0)
    await batcher.flush()
    assert recorder.batches == [["a"], ["a"]]
    await waiting
    await batcher.flush()


async def test_a_flush_gives_up_what_is_not_answered_in_time() -> None:
    answers: list[asyncio.Future[Mapping[int, str]]] = []

    async def late(_: Sequence[str]) -> Mapping[int, str]:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    batcher = Batcher(late, 2, LONG_S)
    waiting = [asyncio.create_task(batcher.submit(name)) for name in "abc"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers[0].set_result({1: "refused b"})
    async with asyncio.timeout(5):
        await batcher.flush(within_s=0.05)
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert told[0] is None
    assert isinstance(told[1], TimeoutError)
    assert isinstance(told[2], TimeoutError)
    assert all(answer.done() for answer in answers)


async def test_one_who_stops_waiting_spoils_nobody_elses_batch() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, 2, LONG_S)
    impatient = asyncio.create_task(batcher.submit("a"))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    await batcher.submit("b")
    assert recorder.batches == [["a", "b"]]
