"""Job types: what each needs, and how the built-in one reads a job."""

from __future__ import annotations

from typing import Any

import pytest

from worker import handlers
from worker.audio_analysis import AudioAnalysis
from worker.contract import AnalysisJob
from worker.failures import ErrorCode, JobFailure
from worker.handlers import handler_of, load
from worker.settings import Settings


def settings(**overrides: Any) -> Settings:
    return Settings.load(
        _env_file=None, queue_url="https://sqs.test/1/jobs", default_bucket="takes", **overrides
    )


def job(**fields: Any) -> AnalysisJob:
    return AnalysisJob.model_validate({"job_id": "j", "s3_audio_url": "a.wav", **fields})


def named(*args: Any, **overrides: Any) -> dict[str, str]:
    found = AudioAnalysis().inputs(job(*args, **overrides.pop("job", {})), settings(**overrides))
    return {item.name: str(item.location) for item in found}


def test_the_built_in_handler_is_there_without_being_named() -> None:
    known = load()
    assert isinstance(handler_of(known, None), AudioAnalysis)
    assert isinstance(handler_of(known, "audio_analysis"), AudioAnalysis)


def test_further_handlers_come_from_the_modules_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "_HANDLERS", dict(load()))
    assert "scripted" in load(["tests.integration.scripted_jobs"])
    with pytest.raises(ModuleNotFoundError):
        load(["no.such.module"])


def test_an_unknown_type_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(JobFailure, match=r"'horoscope'.*audio_analysis") as raised:
        handler_of(load(), "horoscope")
    assert raised.value.code is ErrorCode.UNKNOWN_JOB_TYPE


def test_a_job_names_its_inputs() -> None:
    fields = {"s3_textgrid_url": "t", "s3_pitch_url": "p", "s3_reference_audio_url": "r"}
    assert named(job=fields) == {
        "recording": "s3://takes/a.wav",
        "TextGrid": "s3://takes/t",
        "pitch": "s3://takes/p",
        "reference audio": "s3://takes/r",
    }


def test_only_what_many_jobs_share_is_kept() -> None:
    fields = {"s3_textgrid_url": "t", "s3_pitch_url": "p", "s3_reference_audio_url": "r"}
    found = AudioAnalysis().inputs(job(**fields), settings())
    assert {item.name: item.is_shared for item in found} == {
        "recording": False,
        "TextGrid": True,
        "pitch": True,
        "reference audio": True,
    }


def test_a_reference_is_read_up_to_the_size_that_the_analysis_takes() -> None:
    from analysis.contour import MAX_PITCH_BYTES
    from analysis.textgrid_tiers import MAX_TEXTGRID_BYTES

    named_ones = {"s3_textgrid_url": "t", "s3_pitch_url": "p"}
    for fields in (named_ones, {"video_id": "D7"}):
        found = AudioAnalysis().inputs(job(**fields), settings(reference_prefix="s3://refs"))
        sizes = {item.name: item.max_bytes for item in found}
        assert (sizes["TextGrid"], sizes["pitch"]) == (MAX_TEXTGRID_BYTES, MAX_PITCH_BYTES)


def test_a_video_id_finds_its_reference_under_the_prefix() -> None:
    assert named(job={"video_id": "D7"}, reference_prefix="s3://refs/Heath Ledger/") == {
        "recording": "s3://takes/a.wav",
        "TextGrid": "s3://refs/Heath Ledger/D7/textgrid.TextGrid",
        "pitch": "s3://refs/Heath Ledger/D7/pitch.json",
    }


@pytest.mark.parametrize("prefix", ["s3://takes/a", "https://takes.s3.amazonaws.com/a", "a/"])
def test_a_video_id_names_no_other_object_than_those_of_its_folder(prefix: str) -> None:
    video_id = "D7?X-Amz-Signature=x%2F&Signature=y"
    found = named(job={"video_id": video_id}, reference_prefix=prefix)
    assert found["TextGrid"] == f"s3://takes/a/{video_id}/textgrid.TextGrid"
    assert found["pitch"] == f"s3://takes/a/{video_id}/pitch.json"


def test_a_video_id_that_is_no_part_of_a_key_is_refused() -> None:
    with pytest.raises(JobFailure, match="control character") as raised:
        named(job={"video_id": "D7\n"}, reference_prefix="s3://refs")
    assert raised.value.code is ErrorCode.INVALID_MESSAGE


def test_a_text_needs_nothing_but_the_recording() -> None:
    assert named(job={"text": "mark is going"}) == {"recording": "s3://takes/a.wav"}


def test_a_job_without_any_reference_is_refused() -> None:
    with pytest.raises(JobFailure, match="no reference") as raised:
        named(job={"video_id": "D7"})
    assert raised.value.code is ErrorCode.INVALID_MESSAGE


def test_buckets_that_are_not_allowed_are_refused() -> None:
    for fields in ({"s3_audio_url": "s3://other/a"}, {"s3_textgrid_url": "s3://other/t"}):
        with pytest.raises(JobFailure, match="'other'") as raised:
            named(job={"text": "hi", **fields}, allowed_buckets="takes")
        assert raised.value.code is ErrorCode.BUCKET_NOT_ALLOWED


def test_what_is_no_s3_location_is_an_invalid_message() -> None:
    with pytest.raises(JobFailure, match="no S3 URL") as raised:
        named(job={"s3_audio_url": "https://example.com/a.wav", "text": "hi"})
    assert raised.value.code is ErrorCode.INVALID_MESSAGE


def test_a_request_holds_all_that_decides_the_result() -> None:
    request = AudioAnalysis().request(
        job(text="hi"), {"recording": b"R"}, settings(max_audio_mb=2, analysis_profile="fast")
    )
    assert request.audio == b"R"
    assert request.textgrid is request.pitch is request.reference_audio is None
    assert request.text == "hi"
    assert request.profile == "fast"
    assert request.max_audio_bytes == 2 * 2**20


def test_the_version_names_the_package_and_its_models() -> None:
    version = AudioAnalysis().version()
    assert version == AudioAnalysis().version()
    assert "+" in version
