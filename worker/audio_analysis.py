"""The built-in job type: a recording against an actor's line, or against its text."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from worker import __version__
from worker.contract import DEFAULT_JOB_TYPE, AnalysisJob
from worker.failures import ErrorCode, JobFailure
from worker.handlers import Analysed, JobInput, Refused, register
from worker.locations import LocationError, S3Location

if TYPE_CHECKING:
    from worker.settings import Settings

MAX_REFERENCE_BYTES: Final = 2**20
MAX_PITCH_BYTES: Final = 2 * 2**20
"""A TextGrid or pitch.json of one line is a few kB; what the analysis would refuse is not read."""

MB: Final = 2**20

MEASURING_STAGES: Final = ("align", "pitch")
"""Stages of the analysis that are worth a metric of their own."""


@dataclass(frozen=True)
class AudioRequest:
    """All that decides a result, as bytes."""

    audio: bytes
    textgrid: bytes | None
    pitch: bytes | None
    reference_audio: bytes | None
    text: str | None
    profile: Literal["accurate", "fast"]
    max_audio_bytes: int
    max_audio_s: float


class AudioAnalysis:
    """The handler of `audio_analysis`."""

    job_type = DEFAULT_JOB_TYPE
    bulky: Sequence[str] = ("words.*.phones", "pitch.contours", "audio.waveform")

    def version(self) -> str:
        """Package version and a digest of the model files, without importing the analysis."""
        return f"{__version__}+{_model_digest()}"

    def inputs(self, job: AnalysisJob, settings: Settings) -> Sequence[JobInput]:
        """Recording, TextGrid, pitch and reference audio, from the job or the prefix."""
        max_audio = int(settings.max_audio_mb * MB)
        inputs = [JobInput("recording", _located(job.s3_audio_url, settings), max_audio)]
        textgrid, pitch = job.s3_textgrid_url, job.s3_pitch_url
        if textgrid:
            inputs.append(_textgrid(_located(textgrid, settings)))
        elif (found := _by_video_id(job, settings, "textgrid.TextGrid")) and not job.text:
            inputs.append(_textgrid(found))
            if not pitch and (beside := _by_video_id(job, settings, "pitch.json")):
                inputs.append(_pitch(beside, is_optional=True))
        elif not job.text:
            raise JobFailure(
                ErrorCode.INVALID_MESSAGE,
                "The message has no reference: send s3_textgrid_url, or text, or a video_id "
                "together with the worker's WORKER_REFERENCE_PREFIX.",
            )
        if pitch:
            inputs.append(_pitch(_located(pitch, settings)))
        if job.s3_reference_audio_url:
            inputs.append(
                JobInput(
                    "reference audio",
                    _located(job.s3_reference_audio_url, settings),
                    max_audio,
                    is_shared=True,
                )
            )
        return inputs

    def request(
        self, job: AnalysisJob, inputs: Mapping[str, bytes], settings: Settings
    ) -> AudioRequest:
        """Put the inputs together."""
        return AudioRequest(
            audio=inputs["recording"],
            textgrid=inputs.get("TextGrid"),
            pitch=inputs.get("pitch"),
            reference_audio=inputs.get("reference audio"),
            text=job.text,
            profile=settings.analysis_profile,
            max_audio_bytes=int(settings.max_audio_mb * MB),
            max_audio_s=settings.max_audio_s,
        )

    @property
    def analyse(self) -> Callable[[AudioRequest], Analysed | Refused]:
        """Run in an analysis process."""
        return analyse

    @property
    def warm_up(self) -> Callable[[], None]:
        """Run in an analysis process, once."""
        return warm_up


def analyse(request: AudioRequest) -> Analysed | Refused:
    """Decode, score, and write the result."""
    import analysis
    from analysis.audio import AudioLimits
    from worker.child import allow_more_time

    limits = AudioLimits(max_bytes=request.max_audio_bytes, max_seconds=request.max_audio_s)
    started = time.perf_counter()
    try:
        recording = analysis.Recording.from_bytes(request.audio, limits=limits)
        allow_more_time(recording.duration)
        actor = (
            analysis.Recording.from_bytes(request.reference_audio, limits=limits)
            if request.reference_audio is not None
            else None
        )
        if request.textgrid is not None:
            reference = analysis.Reference.from_textgrid(
                request.textgrid, pitch=request.pitch, audio=actor
            )
        else:
            reference = analysis.Reference.from_text(request.text or "")
        decoded = time.perf_counter()
        result = analysis.score(
            recording, reference, options=analysis.Options(profile=request.profile)
        )
    except analysis.AnalysisError as error:
        return Refused(ErrorCode(error.code), error.message)
    decode_s = decoded - started
    stages_s = _stages_s(decode_s, result.timings_ms)
    result.timings_ms["decode"] = round(decode_s * 1000, 2)
    return Analysed(result.model_dump_json().encode(), stages_s)


def _stages_s(decode_s: float, timings_ms: Mapping[str, float]) -> dict[str, float]:
    """The stages that metrics and traces know, in the order in which they ran.

    All that follows the measuring (judging, comparing, advising) is `score` there.
    """
    spent_s = {name: ms / 1000 for name, ms in timings_ms.items() if name != "total"}
    measured = {name: spent_s.pop(name) for name in MEASURING_STAGES}
    return {"decode": decode_s, **measured, "score": sum(spent_s.values())}


def warm_up() -> None:
    """Load the models and compile what is compiled."""
    from analysis.scoring import warm_up as warm_up_scoring

    warm_up_scoring()


def _parsed(text: str, settings: Settings) -> S3Location:
    from worker.aws import endpoint_url

    try:
        return S3Location.parse(
            text, default_bucket=settings.default_bucket, endpoint_url=endpoint_url()
        )
    except LocationError as error:
        raise JobFailure(ErrorCode.INVALID_MESSAGE, f"{error}.") from None


def _located(text: str, settings: Settings) -> S3Location:
    """An object that the job names, if it may."""
    location = _parsed(text, settings)
    if settings.allowed_buckets and location.bucket not in settings.allowed_buckets:
        raise JobFailure(
            ErrorCode.BUCKET_NOT_ALLOWED,
            f"The bucket {location.bucket!r} is not one of this worker's allowed buckets.",
        )
    return location


def _by_video_id(job: AnalysisJob, settings: Settings, name: str) -> S3Location | None:
    if job.video_id is None or settings.reference_prefix is None:
        return None
    # The operator's own place: ALLOWED_BUCKETS bounds what a job may name. The id is a part of the
    # key as it stands, and nothing in it is read as a signature or an escape.
    example = _parsed(f"{settings.reference_prefix.rstrip('/')}/{name}", settings)
    folder = example.key.removesuffix(name)
    try:
        return example.beside(f"{folder}{job.video_id}/{name}")
    except LocationError as error:
        raise JobFailure(ErrorCode.INVALID_MESSAGE, f"{error}.") from None


def _textgrid(location: S3Location) -> JobInput:
    return JobInput("TextGrid", location, MAX_REFERENCE_BYTES, is_shared=True)


def _pitch(location: S3Location, *, is_optional: bool = False) -> JobInput:
    return JobInput("pitch", location, MAX_PITCH_BYTES, is_shared=True, is_optional=is_optional)


@cache
def _model_digest() -> str:
    """Digest of the files that the scoring core reads, so that a new model is a new version.

    One of its models comes with PocketSphinx.
    """
    import analysis

    digest = hashlib.sha256(version("pocketsphinx").encode())
    root = Path(analysis.__file__ or "").parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in {".py", ".onnx", ".npz", ".json"}:
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


register(AudioAnalysis())
