"""S3 in and out, against moto: capped, cached by ETag, written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from worker.aws import AwsClients, open_clients
from worker.failures import ErrorCode, JobFailure
from worker.locations import S3Location
from worker.sdk_objects import SdkObjects
from worker.storage import ENTRY_BYTES, Storage

BUCKET = "things"
CACHE_BYTES = 2 * (ENTRY_BYTES + 100)
"""Room for two small objects."""

PLACE = S3Location(BUCKET, "Heath Ledger/한국어 1.wav")


@pytest_asyncio.fixture
async def clients(moto_endpoint: str) -> AsyncIterator[AwsClients]:
    async with open_clients(wait_time_s=0) as opened:
        await opened.s3.create_bucket(Bucket=BUCKET)
        # The SDK reads first; what follows is read by signed requests.
        await opened.s3.put_object(Bucket=BUCKET, Key="first")
        await opened.objects.get(S3Location(BUCKET, "first"))
        yield opened


@pytest.fixture
def s3(clients: AwsClients) -> Any:
    return clients.s3


@pytest.fixture(params=["by one signed request", "by the SDK's own call"])
def storage(clients: AwsClients, request: pytest.FixtureRequest) -> Storage:
    objects = clients.objects if request.param == "by one signed request" else None
    return Storage(clients.s3, objects, cache_bytes=CACHE_BYTES)


async def put(s3: Any, key: str, data: bytes) -> S3Location:
    await s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    return S3Location(BUCKET, key)


async def code_of(storage: Storage, location: S3Location, **options: Any) -> ErrorCode:
    with pytest.raises(JobFailure) as raised:
        await storage.fetch(location, **{"what": "recording", "max_bytes": 100, **options})
    assert str(location) in raised.value.message
    return raised.value.code


async def test_an_object_is_read_whatever_its_key(s3: Any, storage: Storage) -> None:
    await put(s3, PLACE.key, b"sound")
    fetched = await storage.fetch(PLACE, what="recording", max_bytes=5)
    assert fetched.data == b"sound"
    assert fetched.etag


async def test_an_empty_object_is_empty_and_no_error(s3: Any, storage: Storage) -> None:
    place = await put(s3, "empty", b"")
    assert (await storage.fetch(place, what="recording", max_bytes=5)).data == b""


async def test_what_is_missing_is_permanent(storage: Storage) -> None:
    assert await code_of(storage, S3Location(BUCKET, "none")) is ErrorCode.NOT_FOUND
    assert await code_of(storage, S3Location("no-bucket", "none")) is ErrorCode.NOT_FOUND


async def test_one_byte_too_many_is_refused(s3: Any, storage: Storage) -> None:
    place = await put(s3, "large", bytes(101))
    assert await code_of(storage, place) is ErrorCode.INPUT_TOO_LARGE


class Answering:
    """An S3 client that gives one answer: a length, and the pieces that really come."""

    def __init__(self, length: int | None, pieces: list[bytes], error: Exception | None = None):
        self.length, self.pieces, self.error = length, pieces, error
        self.read = 0

    async def get_object(self, **_: Any) -> dict[str, Any]:
        return {"ContentLength": self.length, "Body": self, "ETag": "e"}

    async def __aenter__(self) -> Answering:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def iter_chunks(self, _size: int) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += len(piece)
            yield piece
        if self.error:
            raise self.error


async def test_a_length_that_lies_is_caught_while_it_is_read() -> None:
    endless = Answering(None, [bytes(60)] * 100)
    assert await code_of(Storage(endless), PLACE) is ErrorCode.INPUT_TOO_LARGE  # type: ignore[arg-type]
    assert endless.read == 120
    short = Answering(10, [b"half"])
    assert await code_of(Storage(short), PLACE) is ErrorCode.STORAGE_UNAVAILABLE  # type: ignore[arg-type]


async def test_a_stream_that_breaks_off_is_tried_again() -> None:
    from aiohttp import ClientPayloadError

    for error in (ClientPayloadError(), ConnectionResetError(), TimeoutError()):
        cut = Answering(10, [b"half"], error)
        assert await code_of(Storage(cut), PLACE) is ErrorCode.STORAGE_UNAVAILABLE  # type: ignore[arg-type]


async def test_a_shared_object_is_asked_about_and_read_again_only_when_it_changed(
    s3: Any, storage: Storage
) -> None:
    place = await put(s3, "shared", b"one")
    first = await storage.fetch(place, what="TextGrid", max_bytes=100, shared=True)
    assert await storage.fetch(place, what="TextGrid", max_bytes=100, shared=True) is first
    await put(s3, "shared", b"two")
    changed = await storage.fetch(place, what="TextGrid", max_bytes=100, shared=True)
    assert changed.data == b"two"
    await s3.delete_object(Bucket=BUCKET, Key="shared")
    assert await code_of(storage, place, shared=True) is ErrorCode.NOT_FOUND


async def test_what_one_job_names_alone_is_not_kept(s3: Any, storage: Storage) -> None:
    place = await put(s3, "own", b"x")
    first = await storage.fetch(place, what="recording", max_bytes=100)
    assert await storage.fetch(place, what="recording", max_bytes=100) is not first


async def test_the_cache_gives_up_what_was_used_least_recently(s3: Any, storage: Storage) -> None:
    a, b, c = [await put(s3, name, bytes(40)) for name in "abc"]

    async def fetch(place: S3Location) -> Any:
        return await storage.fetch(place, what="TextGrid", max_bytes=100, shared=True)

    first_a, first_b = await fetch(a), await fetch(b)
    assert await fetch(a) is first_a
    await fetch(c)
    assert await fetch(a) is first_a
    assert await fetch(b) is not first_b
    assert storage._cached_bytes <= CACHE_BYTES


async def test_empty_objects_do_not_fill_the_memory(s3: Any, storage: Storage) -> None:
    for number in range(5):
        place = await put(s3, f"empty-{number}", b"")
        await storage.fetch(place, what="TextGrid", max_bytes=100, shared=True)
    assert len(storage._cache) == 2
    long_name = await put(s3, "k" * 1000, b"")
    await storage.fetch(long_name, what="TextGrid", max_bytes=100, shared=True)
    assert len(storage._cache) == 0


async def test_what_is_dropped_while_it_is_asked_about_is_kept_again(s3: Any) -> None:
    class Slow(SdkObjects):
        """Asks about what is kept only when the others have been read."""

        async def get(self, location: S3Location, **options: Any) -> Any:
            if options.get("unless_etag"):
                await others_read.wait()
            return await super().get(location, **options)

    others_read = asyncio.Event()
    storage = Storage(s3, Slow(s3), cache_bytes=CACHE_BYTES)  # type: ignore[arg-type]
    a, b, c = [await put(s3, name, bytes(40)) for name in "abc"]

    async def fetch(place: S3Location) -> Any:
        return await storage.fetch(place, what="TextGrid", max_bytes=100, shared=True)

    first = await fetch(a)
    again = asyncio.create_task(fetch(a))
    await asyncio.gather(fetch(b), fetch(c))
    others_read.set()
    assert await again is first
    assert await fetch(a) is first
    assert storage._cached_bytes <= CACHE_BYTES


async def test_a_conditional_write_is_done_once(storage: Storage) -> None:
    assert await storage.write(PLACE, b"first", metadata={"m": "1"}, if_absent=True)
    assert not await storage.write(PLACE, b"second", if_absent=True)
    assert await storage.read(PLACE) == (b"first", {"m": "1"})
    assert await storage.write(PLACE, b"third")
    assert await storage.exists(PLACE)
    await storage.remove(PLACE)
    assert not await storage.exists(PLACE)
    assert await storage.read(PLACE) is None


async def test_a_write_beside_another_is_repeated() -> None:
    from botocore.exceptions import ClientError

    class Contended:
        calls = 0

        async def put_object(self, **_: Any) -> None:
            self.calls += 1
            if self.calls < 3:
                reply: Any = {"ResponseMetadata": {"HTTPStatusCode": 409}, "Error": {}}
                raise ClientError(reply, "PutObject")

    contended = Contended()
    assert await Storage(contended).write(PLACE, b"x", if_absent=True)  # type: ignore[arg-type]
    assert contended.calls == 3
