"""Words in film time, and a contour or audio that begins with the clip."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from analysis.audio import Recording
from analysis.contour import PitchContour
from analysis.errors import ReferenceFormatError
from analysis.film_time import lead_in
from analysis.reference import Reference
from analysis.reference_words import ReferenceWord
from analysis.scoring import score
from tests.analysis.conftest import FIXTURES, Speech
from tests.analysis.textgrids import GridTier, Marked, long_text

FILM_S = 1800.0
LINES = ("harbor", "lantern", "stranger", "winter")


def grid(line: str, *, phones: bool = True, lead: str = "", tail: str = "") -> bytes:
    """A line of the fixtures an hour into a film whose TextGrid begins at 0."""
    words = Reference.from_textgrid((FIXTURES / line / "actor.TextGrid").read_bytes()).words
    tiers: list[list[Marked]] = [[], []]
    for word in words:
        assert word.start is not None
        assert word.end is not None
        tiers[0].append((word.start + FILM_S, word.end + FILM_S, word.text))
        tiers[1] += [(p.start + FILM_S, p.end + FILM_S, p.phone) for p in word.phones]
    if lead:
        tiers[0].insert(0, (0.0, tiers[0][0][0], lead))
    if tail:
        tiers[0].append((tiers[0][-1][1], 7200.0, tail))
    named = [GridTier("words", tiers[0]), GridTier("phones", tiers[1])]
    return long_text(*named[: 1 + phones], end=7200.0).encode()


def contour(line: str, lead_s: float, *, coarse: bool = False, voiced: bool = False) -> bytes:
    """The actor's melody, so much later in the clip than in the fixture."""
    name = "pitch_coarse.json" if coarse else "pitch.json"
    entries = json.loads((FIXTURES / line / name).read_bytes())
    return json.dumps(
        [
            {"time": round(entry["time"] + lead_s, 4), "hz": entry["hz"]}
            for entry in entries
            if entry["hz"] or not voiced
        ]
    ).encode()


def first_word(line: str) -> float:
    """Where the first word begins in the fixture's clip."""
    start = (
        Reference.from_textgrid((FIXTURES / line / "actor.TextGrid").read_bytes()).words[0].start
    )
    assert start is not None
    return start


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("lead_s", [0.0, 0.5, 3.0])
@pytest.mark.parametrize(
    ("coarse", "phones", "within_s"),
    [(False, True, 0.015), (True, True, 0.035), (False, False, 0.06)],
    ids=["each 10 ms", "each 100 ms", "without phones"],
)
def test_a_contour_of_the_clip_tells_where_the_clip_begins(
    line: str, lead_s: float, *, coarse: bool, phones: bool, within_s: float
) -> None:
    pitch = contour(line, lead_s, coarse=coarse)
    reference = Reference.from_textgrid(grid(line, phones=phones), pitch=pitch)
    assert reference.words[0].start == pytest.approx(first_word(line) + lead_s, abs=within_s)
    assert reference.pitch is not None
    assert reference.pitch.times[0] == pytest.approx(json.loads(pitch)[0]["time"])


def test_a_contour_of_voiced_points_alone_tells_it_too() -> None:
    reference = Reference.from_textgrid(grid("harbor"), pitch=contour("harbor", 0.5, voiced=True))
    assert reference.words[0].start == pytest.approx(first_word("harbor") + 0.5, abs=0.015)


@pytest.mark.parametrize("lead_s", [0.0, 0.5])
def test_the_melody_counts_as_it_does_in_clip_time(speech: Speech, lead_s: float) -> None:
    expected = speech.scored("lantern", "good").scores.pitch
    reference = Reference.from_textgrid(grid("lantern"), pitch=contour("lantern", lead_s))
    scored = score(speech.recording("lantern", "good"), reference).scores.pitch
    assert scored == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("lead_s", [0.0, 0.5])
def test_the_actors_voice_tells_where_the_clip_begins(speech: Speech, lead_s: float) -> None:
    actor = speech.recording("lantern", "actor").samples
    late = Recording.from_samples(np.pad(actor, (round(lead_s * 16_000), 0)), 16_000)
    reference = Reference.from_textgrid(grid("lantern"), audio=late)
    assert reference.words[0].start == pytest.approx(first_word("lantern") + lead_s, abs=0.02)
    in_film_time = json.loads(contour("lantern", FILM_S))
    reference = Reference.from_textgrid(
        grid("lantern"), pitch=json.dumps(in_film_time).encode(), audio=late
    )
    assert reference.words[0].start == pytest.approx(first_word("lantern") + lead_s, abs=0.02)
    assert reference.pitch is not None
    assert reference.pitch.times[0] == pytest.approx(
        in_film_time[0]["time"] - FILM_S + lead_s, abs=0.02
    )


def test_labelled_silence_before_and_after_the_words_changes_nothing() -> None:
    plain = Reference.from_textgrid(grid("lantern"), pitch=contour("lantern", 0.5))
    marked = Reference.from_textgrid(
        grid("lantern", lead="sil", tail="<eps>"), pitch=contour("lantern", 0.5)
    )
    assert marked.words == plain.words
    assert marked.duration == plain.duration
    assert marked.words[-1].end == marked.duration


def test_a_contour_in_which_the_words_cannot_be_found_is_refused() -> None:
    hum = json.dumps([{"time": i / 100, "hz": 120.0} for i in range(400)]).encode()
    with pytest.raises(ReferenceFormatError, match="set the TextGrid's xmin") as caught:
        Reference.from_textgrid(grid("lantern"), pitch=hum)
    assert caught.value.code == "pitch_invalid"
    with pytest.raises(ReferenceFormatError, match="covers") as caught:
        Reference.from_textgrid(grid("lantern"), pitch=contour("lantern", 3000.0))
    assert caught.value.code == "pitch_invalid"


def test_audio_in_which_the_words_cannot_be_found_is_refused() -> None:
    silence = Recording.from_samples(np.zeros(64_000), 16_000)
    with pytest.raises(ReferenceFormatError, match="set its xmin") as caught:
        Reference.from_textgrid(grid("lantern"), audio=silence)
    assert caught.value.code == "reference_invalid"


def test_far_points_and_a_single_point_are_no_work() -> None:
    words = [ReferenceWord("word", i / 10, i / 10 + 0.1) for i in range(999)]
    far = PitchContour.from_points(np.array([0.0, 0.01, 1e6]), np.array([100.0, np.nan, 100.0]))
    single = PitchContour.from_points(np.array([0.1]), np.array([100.0]))
    start = time.process_time()
    assert lead_in(words, far) is None
    assert lead_in(words, single) is None
    assert time.process_time() - start < 3.0
