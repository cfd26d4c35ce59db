"""The page and the picture of a result."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("jinja2", reason="jinja2 is not installed")

import itertools

from analysis.drawing import ROW_S, colour, rows
from analysis.report import LABELS, render_page, write_report
from analysis.result import AnalysisResult

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Follows the tags of a page; what it loads, and whether each tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def with_word(result: AnalysisResult, text: str) -> AnalysisResult:
    first = result.words[0].model_copy(update={"word": text})
    return result.model_copy(update={"words": [first, *result.words[1:]]})


def test_a_report_is_a_page_and_a_picture(speech: Speech, tmp_path: Path) -> None:
    page, picture = write_report(speech.scored("lantern", "slower"), tmp_path / "take 3.v2")
    assert (page.name, picture.name) == ("take 3.v2.html", "take 3.v2.png")
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
    html = page.read_text(encoding="utf-8")
    assert Page(html).open == []
    for word in speech.scored("lantern", "slower").words:
        assert word.word in html


def test_the_page_loads_nothing_from_elsewhere(speech: Speech) -> None:
    html = render_page(speech.scored("lantern", "good"), audio=b"RIFF")
    loads = Page(html).loads
    assert loads, "the drawing refers to its own parts"
    assert all(value.startswith(("#", "data:")) for value in loads)
    assert not re.search(r"url\((?!#|\"#)|@import", html)


def test_what_a_reference_spells_is_text_and_never_markup(speech: Speech) -> None:
    html = render_page(with_word(speech.scored("lantern", "good"), "<script>x</script>"))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_dollars_are_no_formula(speech: Speech, tmp_path: Path) -> None:
    result = with_word(speech.scored("lantern", "good"), "$5_$6")
    page, _ = write_report(result, tmp_path / "take")
    assert ">$5_$6</text>" in page.read_text()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_speaks_the_language_asked_for(speech: Speech, language: str) -> None:
    html = render_page(speech.scored("lantern", "slower"), language=language)  # type: ignore[arg-type]
    labels = LABELS[language]  # type: ignore[index]
    assert f'<html lang="{language}">' in html
    for name in ("overall", "pronunciation", "feedback", "words"):
        assert labels[name] in html


def test_both_languages_have_the_same_labels() -> None:
    assert set(LABELS["en"]) == set(LABELS["ko"])


def test_the_same_result_gives_the_same_bytes(speech: Speech, tmp_path: Path) -> None:
    result = speech.scored("lantern", "good")
    first = [path.read_bytes() for path in write_report(result, tmp_path / "a")]
    again = [path.read_bytes() for path in write_report(result, tmp_path / "b")]
    assert first == again


def test_a_recording_can_be_heard_in_the_page_where_a_sentence_points(speech: Speech) -> None:
    result = speech.scored("lantern", "omitted")
    html = render_page(result, audio=b"sound")
    pointed = [item for item in result.feedback if item.start is not None]
    assert html.count("data-start=") == len(pointed) > 0
    assert "data-start=" not in render_page(result)


def test_short_forms_silence_and_text_alone_are_drawn_too(speech: Speech, tmp_path: Path) -> None:
    from analysis.audio import Recording
    from analysis.reference import Reference
    from analysis.scoring import score

    silence = Recording.from_file(speech.folder / "silence.flac")
    text = Reference.from_text("You left the lantern burning")
    for number, result in enumerate(
        [
            speech.scored("lantern", "omitted").compact(),
            score(silence, speech.reference("lantern")),
            score(speech.recording("lantern", "good"), text),
        ]
    ):
        page, picture = write_report(result, tmp_path / str(number))
        assert Page(page.read_text(encoding="utf-8")).open == []
        assert picture.read_bytes().startswith(PNG_SIGNATURE)


def test_rows_cover_the_line_without_a_gap_and_none_is_too_long(speech: Speech) -> None:
    result = speech.scored("winter", "good")
    found = rows(result)
    assert len(found) > 3
    assert all(row.end - row.start <= ROW_S + 1e-9 for row in found)
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    spans = [word.user for word in result.words if word.user]
    assert found[0].start <= spans[0].start
    assert found[-1].end >= spans[-1].end
    for row in found[1:]:
        assert not any(span.start + 0.01 < row.start < span.end - 0.01 for span in spans)


def test_colours_tell_three_bands_and_the_unknown_apart() -> None:
    assert len({colour(score) for score in (95.0, 70.0, 20.0, None)}) == 4
    assert colour(80.0) == colour(100.0)
