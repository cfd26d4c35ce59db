"""The results bucket: the first write stands, and what is not delivered is listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from worker.aws import AwsClients, open_clients
from worker.contract import Addressee, AnalysisJob, Event, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.locations import S3Location
from worker.results import ResultStore, cache_key, fingerprint
from worker.storage import Storage

BUCKET = "results"


@pytest_asyncio.fixture
async def clients(moto_endpoint: str) -> AsyncIterator[AwsClients]:
    async with open_clients(wait_time_s=0) as opened:
        await opened.s3.create_bucket(Bucket=BUCKET)
        # The SDK reads first; what follows goes by signed requests.
        assert await Storage(opened.s3, opened.objects).read(S3Location(BUCKET, "none")) is None
        yield opened


@pytest.fixture
def s3(clients: AwsClients) -> Any:
    return clients.s3


@pytest.fixture(params=["by one signed request", "by the SDK's own call"])
def store(clients: AwsClients, request: pytest.FixtureRequest) -> ResultStore:
    objects = clients.objects if request.param == "by one signed request" else None
    return ResultStore(Storage(clients.s3, objects), bucket=BUCKET, prefix="r/", use_cache=True)


async def keys(s3: Any) -> list[str]:
    listed = await s3.list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in listed.get("Contents", [])]


def completed(said: str) -> Event:
    return build_event(
        EventType.COMPLETED,
        Addressee("job", "https://c.test/", None, {}),
        attempt=1,
        progress=100,
        message=said,
        result=b"{}",
    )


def job(**fields: Any) -> AnalysisJob:
    return AnalysisJob.model_validate({"job_id": "job", "s3_audio_url": "s3://b/a", **fields})


async def keep(store: ResultStore, event: Event, mark: str = "f") -> Any:
    return await store.keep(event, fingerprint=mark, webhook_url="https://c.test/")


async def test_a_kept_event_is_listed_until_it_is_delivered(s3: Any, store: ResultStore) -> None:
    kept = await keep(store, completed("one"))
    assert not kept.is_delivered
    assert await keys(s3) == ["r/job.json", "r/undelivered/job.json"]
    await store.mark_delivered("job")
    assert await keys(s3) == ["r/delivered/job.json", "r/job.json"]
    found = await store.find("job", expected="f")
    assert found is not None
    assert found.is_delivered
    assert found.event.body == kept.event.body
    assert found.event.event_id == kept.event.event_id


async def test_the_first_write_stands_and_the_second_gets_it_unchanged(store: ResultStore) -> None:
    first, second = completed("one"), completed("two")
    await keep(store, first)
    stands = await keep(store, second)
    assert stands.event.body == first.body
    assert not stands.is_delivered


async def test_of_many_at_once_one_stands_for_all(store: ResultStore) -> None:
    kept = await asyncio.gather(*(keep(store, completed(str(i))) for i in range(8)))
    assert len({item.event.body for item in kept}) == 1


async def test_one_who_loses_to_a_delivered_event_leaves_no_note(
    s3: Any, store: ResultStore
) -> None:
    await keep(store, completed("one"))
    await store.mark_delivered("job")
    assert (await keep(store, completed("two"))).is_delivered
    assert "r/undelivered/job.json" not in await keys(s3)


async def test_other_inputs_under_one_id_are_a_conflict(store: ResultStore) -> None:
    await keep(store, completed("one"), "mine")
    for attempt in (store.find("job", expected="yours"), keep(store, completed("two"), "yours")):
        with pytest.raises(JobFailure) as raised:
            await attempt
        assert raised.value.code is ErrorCode.JOB_ID_CONFLICT


def test_what_tells_two_keys_apart_tells_two_jobs_apart() -> None:
    for one, other in (
        ("s3://b/take?1.wav", "s3://b/take?2.wav"),
        ("takes/who?.wav", "takes/who?/me.wav"),
        ("s3://b/a#1", "s3://b/a#2"),
    ):
        for field in ("s3_audio_url", "s3_textgrid_url", "s3_pitch_url", "s3_reference_audio_url"):
            first, second = (fingerprint(job(**{field: url}), "t") for url in (one, other))
            assert first != second


def test_another_signature_of_the_same_object_makes_no_other_job() -> None:
    for one, other in (
        ("https://b.s3.amazonaws.com/a?X-Amz-Signature=1", "https://b.s3.amazonaws.com/a?x=2#3"),
        ("s3://b/a?X-Amz-Signature=1", "s3://b/a"),
        ("takes/a?Expires=1&Signature=1", "takes/a?Expires=2&Signature=2"),
    ):
        assert fingerprint(job(s3_audio_url=one), "t") == fingerprint(job(s3_audio_url=other), "t")


async def test_nothing_is_found_where_nothing_is(store: ResultStore) -> None:
    assert await store.find("job", expected="f") is None
    assert await store.cached("k") is None


async def test_the_cache_answers_only_where_it_is_wanted(s3: Any, store: ResultStore) -> None:
    await store.cache("k", b"{}")
    assert await store.cached("k") == b"{}"
    without = ResultStore(Storage(s3), bucket=BUCKET, prefix="r/", use_cache=False)
    assert await without.cached("k") is None
    await without.cache("other", b"{}")
    assert "r/cache/other.json" not in await keys(s3)


def test_a_signed_url_names_the_same_input_as_before() -> None:
    plain = job(s3_audio_url="https://b.s3.amazonaws.com/a")
    signed = job(s3_audio_url="https://b.s3.amazonaws.com/a?X-Amz-Signature=1")
    assert fingerprint(plain, "t") == fingerprint(signed, "t")


@pytest.mark.parametrize(
    "fields",
    [
        {"s3_audio_url": "s3://b/other"},
        {"s3_textgrid_url": "s3://b/t"},
        {"s3_pitch_url": "s3://b/p"},
        {"s3_reference_audio_url": "s3://b/r"},
        {"text": "hi"},
        {"video_id": 7},
    ],
)
def test_every_input_tells_jobs_apart_and_nothing_else_does(fields: dict[str, Any]) -> None:
    assert fingerprint(job(**fields), "t") != fingerprint(job(), "t")
    assert fingerprint(job(), "t") != fingerprint(job(), "other")
    echoed = job(metadata={"a": 1}, webhook_url="https://elsewhere.test/", source="x")
    assert fingerprint(echoed, "t") == fingerprint(job(), "t")


def test_a_cached_result_is_named_by_all_that_decides_it() -> None:
    usual: dict[str, Any] = {
        "job_type": "t",
        "version": "1",
        "inputs": {"recording": b"R", "TextGrid": b"T"},
        "options": "o",
    }
    changes: list[dict[str, Any]] = [
        {},
        {"job_type": "u"},
        {"version": "2"},
        {"options": "p"},
        {"inputs": {"recording": b"R"}},
        {"inputs": {"recording": b"T", "TextGrid": b"R"}},
        {"inputs": {"recording": b"RT", "TextGrid": b""}},
    ]
    assert len({cache_key(**{**usual, **change}) for change in changes}) == len(changes)
    reordered = {"TextGrid": b"T", "recording": b"R"}
    assert cache_key(**{**usual, "inputs": reordered}) == cache_key(**usual)
