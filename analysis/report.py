"""The report of a result: one page that needs nothing else, and one picture."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.drawing import OURS, THEIRS, colour, picture, row_svg, rows
from analysis.sentences import SENTENCES, Language, sentence

if TYPE_CHECKING:
    from analysis.result import AnalysisResult, FeedbackItem

LABELS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "title": "Your line",
        "overall": "Overall",
        "pronunciation": "Pronunciation",
        "timing": "Timing",
        "pitch": "Pitch",
        "fluency": "Fluency",
        "completeness": "Completeness",
        "prosody": "Prosody",
        "you": "you",
        "actor": "actor",
        "feedback": "What to work on",
        "words": "Word by word",
        "omitted": "left out",
        "sounds_like": "sounded like",
        "listen": "Listen",
        "melody": "Sound and melody",
        "melody_note": "Semitones from each voice's own middle; the actor's words are laid over "
        "yours.",
        "none": "not measured",
    },
    "ko": {
        "title": "내 대사",
        "overall": "종합",
        "pronunciation": "발음",
        "timing": "타이밍",
        "pitch": "억양",
        "fluency": "유창성",
        "completeness": "완성도",
        "prosody": "운율",
        "you": "나",
        "actor": "배우",
        "feedback": "연습할 점",
        "words": "단어별 점수",
        "omitted": "빠뜨림",
        "sounds_like": "들린 소리",
        "listen": "듣기",
        "melody": "소리와 억양",
        "melody_note": "각자 목소리의 중간 높이를 기준으로 한 반음 단위이며, 배우의 단어를 내 "
        "단어에 맞추어 겹쳤습니다.",
        "none": "측정 안 됨",
    },
}
# Where the media type is not called what the container is.
MEDIA_TYPES: Final = {"mp3": "mpeg"}
SCORE_NAMES: Final = (
    "pronunciation",
    "timing",
    "pitch",
    "fluency",
    "prosody",
    "completeness",
)


def write_report(
    result: AnalysisResult, stem: Path, *, language: Language = "en", audio: bytes | None = None
) -> list[Path]:
    """Write ``stem.html`` and ``stem.png`` and return their paths.

    Parameters
    ----------
    result : a whole result; a compact one is drawn without waveform, contours and phones.
    stem : where, without a suffix.
    language : of labels and feedback in the page. The picture is in English, since the font that
        matplotlib brings has no Hangul.
    audio : the recording's bytes, put into the page so that it can be heard there.
    """
    page = stem.with_name(stem.name + ".html")
    drawing = stem.with_name(stem.name + ".png")
    page.write_text(render_page(result, language=language, audio=audio), encoding="utf-8")
    english = LABELS["en"]
    messages = [_told(item, "en") for item in result.feedback]
    drawing.write_bytes(picture(result, (english["you"], english["actor"]), messages))
    return [page, drawing]


def render_page(
    result: AnalysisResult, *, language: Language = "en", audio: bytes | None = None
) -> str:
    """Render the page; it loads nothing from elsewhere."""
    labels = LABELS[language]
    return (
        _environment()
        .get_template("report.html")
        .render(
            language=language,
            labels=labels,
            result=result,
            line=" ".join(word.word for word in result.words),
            names=SCORE_NAMES,
            feedback=[(item, _told(item, language)) for item in result.feedback],
            # The drawing is our own, and matplotlib escapes the words in it.
            systems=[Markup(row_svg(result, row)) for row in rows(result)],  # noqa: S704
            ours=OURS,
            theirs=THEIRS,
            audio=None if audio is None else _data_url(result, audio),
        )
    )


def _data_url(result: AnalysisResult, audio: bytes) -> str:
    container = result.audio.container or "wav"
    media_type = MEDIA_TYPES.get(container, container)
    return f"data:audio/{media_type};base64,{base64.b64encode(audio).decode()}"


def _told(item: FeedbackItem, language: Language) -> str:
    """Say an item in a language; a code of a later version keeps the words it came with."""
    return sentence(item.code, item.values, language) if item.code in SENTENCES else item.message


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"colour": colour, "whole": _whole}
    environment.filters.update(filters)
    return environment


def _whole(score: float | None) -> str:
    return "–" if score is None else f"{score:.0f}"
