"""The demo's dozen jobs: what is uploaded, what each message says, and what must come of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from scripts.demo_stack import SPEECH_BUCKET

_ACTOR: Final = "Heath Ledger/D7-hk46bT8I/1"
_KOREAN: Final = "배우/김서연/항구 1"
_BY_VIDEO: Final = "references/winter-lake"

# Keys in the bucket, and the fixture that lies at each.
UPLOADS: Final = {
    f"{_ACTOR}/textgrid.TextGrid": "lantern/actor.TextGrid",
    f"{_ACTOR}/pitch.json": "lantern/pitch.json",
    f"{_KOREAN}/textgrid.TextGrid": "harbor/actor.TextGrid",
    f"{_KOREAN}/pitch.json": "harbor/pitch_coarse.json",
    f"{_KOREAN}/내 녹음.flac": "harbor/good.flac",
    f"{_BY_VIDEO}/textgrid.TextGrid": "winter/actor.TextGrid",
    f"{_BY_VIDEO}/pitch.json": "winter/pitch.json",
    f"{_BY_VIDEO}/actor.flac": "winter/actor.flac",
    "takes/lantern good.flac": "lantern/good.flac",
    "takes/lantern monotone.flac": "lantern/monotone.flac",
    "takes/lantern slower.flac": "lantern/slower.flac",
    "takes/lantern omitted.flac": "lantern/omitted.flac",
    "takes/lantern replaced.flac": "lantern/replaced.flac",
    "takes/lantern browser.webm": "lantern/good.webm",
    "takes/lantern phone.m4a": "lantern/good.m4a",
    "takes/stranger good.flac": "stranger/good.flac",
    "takes/winter good.flac": "winter/good.flac",
    "takes/silence.flac": "silence.flac",
    "takes/not a recording.flac": "manifest.json",
}


@dataclass(frozen=True)
class Expected:
    """What must come of a job.

    `at_least` and `at_most` bound scores; `below` asks for so many points less in a score than
    another job has; `null` names scores that must be missing; `words` gives a word's statuses
    that will do; `dead_letter` is the `error_code` in the dead-letter queue.
    """

    status: str = "completed"
    at_least: dict[str, float] = field(default_factory=dict)
    at_most: dict[str, float] = field(default_factory=dict)
    below: dict[str, tuple[str, float]] = field(default_factory=dict)
    null: tuple[str, ...] = ()
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    feedback: str | None = None
    dead_letter: str | None = None


@dataclass(frozen=True)
class DemoJob:
    """One message: its fields but for the webhook, or a body that is no job at all."""

    job_id: str
    about: str
    expected: Expected
    fields: dict[str, Any] = field(default_factory=dict)
    webhook_field: str = "webhook_url"
    raw_body: str | None = None

    def body(self, webhook_url: str) -> str:
        """Write the message's body."""
        if self.raw_body is not None:
            return self.raw_body
        message = {"job_id": self.job_id, **self.fields, self.webhook_field: webhook_url}
        return json.dumps(message, ensure_ascii=False)


def _s3(key: str) -> str:
    return f"s3://{SPEECH_BUCKET}/{key}"


_LANTERN: Final = {
    "s3_textgrid_url": _s3(f"{_ACTOR}/textgrid.TextGrid"),
    "s3_pitch_url": _s3(f"{_ACTOR}/pitch.json"),
    "video_id": "D7-hk46bT8I",
}
_GOOD: Final = {"overall": 75.0, "pronunciation": 65.0, "timing": 85.0, "pitch": 85.0}

JOBS: Final = (
    DemoJob(
        "lantern-good",
        "a good imitation",
        Expected(at_least=_GOOD, words={"lantern": ("ok",)}),
        {"s3_audio_url": _s3("takes/lantern good.flac"), **_LANTERN},
    ),
    DemoJob(
        "lantern-monotone",
        "said in one flat tone",
        Expected(at_most={"pitch": 40}, below={"pitch": ("lantern-good", 40)}),
        {"s3_audio_url": _s3("takes/lantern monotone.flac"), **_LANTERN},
    ),
    DemoJob(
        "lantern-slower",
        "30 % slower than the actor",
        Expected(below={"timing": ("lantern-good", 15)}),
        {"s3_audio_url": _s3("takes/lantern slower.flac"), **_LANTERN},
    ),
    DemoJob(
        "lantern-omitted",
        "“lantern” left out",
        Expected(below={"overall": ("lantern-good", 5)}, words={"lantern": ("omitted",)}),
        {"s3_audio_url": _s3("takes/lantern omitted.flac"), **_LANTERN},
    ),
    DemoJob(
        "lantern-replaced",
        "“swinging” for “burning”",
        Expected(words={"burning": ("mispronounced", "omitted")}),
        {"s3_audio_url": _s3("takes/lantern replaced.flac"), **_LANTERN},
    ),
    DemoJob(
        "lantern-webm",
        "a browser's WebM, bare key",
        Expected(at_least=_GOOD),
        {"s3_audio_url": "takes/lantern browser.webm", **_LANTERN},
    ),
    DemoJob(
        "lantern-m4a",
        "a phone's m4a, older field names",
        Expected(at_least=_GOOD),
        {
            "s3_audio_url": _s3("takes/lantern phone.m4a"),
            "s3_textgrid_url": _LANTERN["s3_textgrid_url"],
            "s3_pitch_url": _LANTERN["s3_pitch_url"],
            "token_id": 4711,
        },
        webhook_field="callback_url",
    ),
    DemoJob(
        "harbor-korean",
        "Korean keys, an https S3 URL",
        Expected(at_least={"overall": 65, "timing": 85, "pitch": 80}),
        {
            "s3_audio_url": f"https://{SPEECH_BUCKET}.s3.us-east-1.amazonaws.com/"
            + quote(f"{_KOREAN}/내 녹음.flac"),
            "s3_textgrid_url": _s3(f"{_KOREAN}/textgrid.TextGrid"),
            "s3_pitch_url": _s3(f"{_KOREAN}/pitch.json"),
            "metadata": {"actor": "김서연", "scene": 1},
        },
    ),
    DemoJob(
        "winter-by-video",
        "reference found by video_id",
        Expected(at_least={"overall": 65, "timing": 85, "pitch": 80}),
        {
            "s3_audio_url": _s3("takes/winter good.flac"),
            "s3_reference_audio_url": _s3(f"{_BY_VIDEO}/actor.flac"),
            "video_id": "winter-lake",
        },
    ),
    DemoJob(
        "stranger-text",
        "the text alone, no TextGrid",
        Expected(at_least={"overall": 40, "pronunciation": 40}, null=("timing", "pitch")),
        {
            "s3_audio_url": _s3("takes/stranger good.flac"),
            "text": "Why would anybody trust a stranger who smiles before breakfast?",
        },
    ),
    DemoJob(
        "silence",
        "nobody speaks",
        Expected(at_most={"overall": 0}, feedback="no_speech"),
        {"s3_audio_url": _s3("takes/silence.flac"), **_LANTERN},
    ),
    DemoJob(
        "audio-missing",
        "no such object in S3",
        Expected("failed", dead_letter="not_found"),
        {"s3_audio_url": _s3("takes/never uploaded.flac"), **_LANTERN},
    ),
    DemoJob(
        "not-audio",
        "JSON named .flac",
        Expected("failed", dead_letter="audio_invalid"),
        {"s3_audio_url": _s3("takes/not a recording.flac"), **_LANTERN},
    ),
    DemoJob(
        "not-json",
        "a message that is no JSON",
        Expected("unheard", dead_letter="invalid_json"),
        raw_body="score my recording, please",
    ),
)

ANOTHER_JOB: Final = JOBS[0].fields


def departures(
    job: DemoJob, seen: dict[str, dict[str, Any]], dead_letters: dict[str, str]
) -> Iterator[str]:
    """Say in a few words each how what came of a job is not what was expected.

    `seen` holds the inbox's jobs by id, with their results; `dead_letters` the codes in the
    dead-letter queue by job id.
    """
    expected = job.expected
    came = seen.get(job.job_id, {})
    status = came.get("status", "unheard")
    if status != expected.status:
        yield f"{status}, not {expected.status}"
    code = dead_letters.get(job.job_id)
    if code != expected.dead_letter:
        yield f"dead letter {code or 'none'}, not {expected.dead_letter or 'none'}"
    result = came.get("result")
    if expected.status == "completed" and result:
        yield from _score_departures(expected, result, seen)
        yield from _word_departures(expected, result)


def _score_departures(
    expected: Expected, result: dict[str, Any], seen: dict[str, dict[str, Any]]
) -> Iterator[str]:
    scores = result["scores"]
    for name, bound in expected.at_least.items():
        if scores[name] is None or scores[name] < bound:
            yield f"{name} {scores[name]}, not at least {bound:g}"
    for name, bound in expected.at_most.items():
        if scores[name] is None or scores[name] > bound:
            yield f"{name} {scores[name]}, not at most {bound:g}"
    for name, (other_id, points) in expected.below.items():
        other = ((seen.get(other_id) or {}).get("result") or {}).get("scores", {}).get(name)
        if scores[name] is None or other is None or scores[name] > other - points:
            yield f"{name} {scores[name]}, not {points:g} below {other_id} ({other})"
    for name in expected.null:
        if scores[name] is not None:
            yield f"{name} {scores[name]}, not null"


def _word_departures(expected: Expected, result: dict[str, Any]) -> Iterator[str]:
    statuses = {word["word"].lower(): word["status"] for word in result["words"]}
    for word, wanted in expected.words.items():
        if statuses.get(word) not in wanted:
            yield f"“{word}” {statuses.get(word)}, not {' or '.join(wanted)}"
    codes = {item["code"] for item in result["feedback"]}
    if expected.feedback and expected.feedback not in codes:
        yield f"no feedback {expected.feedback}"
