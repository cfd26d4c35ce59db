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


def grid(
    line: str, *, phones: bool = True, lead: str = "", tail: str = "", film_s: float = FILM_S
) -> bytes:
    """A line of the fixtures, half an hour into a film, whose TextGrid begins at 0."""
    words = Reference.from_textgrid((FIXTURES / line / "actor.TextGrid").read_bytes()).words
    tiers: list[list[Marked]] = [[], []]
    for word in words:
        assert word.start is not None
        assert word.end is not None
        tiers[0].append((word.start + film_s, word.end + film_s, word.text))
        tiers[1] += [(p.start + film_s, p.end + film_s, p.phone) for p in word.phones]
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


EARLY_S = 45.0
"""Into a film, and no more than a clip may have before its first word."""


@pytest.mark.parametrize("lead_s", [0.0, 0.5])
def test_a_film_that_has_just_begun_is_told_from_a_clip_by_the_contour(lead_s: float) -> None:
    pitch = contour("lantern", lead_s)
    reference = Reference.from_textgrid(grid("lantern", film_s=EARLY_S), pitch=pitch)
    assert reference.words[0].start == pytest.approx(first_word("lantern") + lead_s, abs=0.02)
    assert reference.pitch is not None
    assert reference.pitch.times[0] == pytest.approx(json.loads(pitch)[0]["time"])


@pytest.mark.parametrize("pitch", [None, contour("lantern", EARLY_S)], ids=["none", "film time"])
def test_a_film_that_has_just_begun_is_told_from_a_clip_by_the_voice(
    speech: Speech, pitch: bytes | None
) -> None:
    actor = speech.recording("lantern", "actor")
    reference = Reference.from_textgrid(grid("lantern", film_s=EARLY_S), pitch=pitch, audio=actor)
    assert reference.words[0].start == pytest.approx(first_word("lantern"), abs=0.02)
    assert reference.audio is actor
    assert (reference.pitch is None) == (pitch is None)


@pytest.mark.parametrize("film_s", [EARLY_S, FILM_S])
@pytest.mark.parametrize("has_pitch", [False, True])
def test_audio_in_which_the_words_cannot_be_found_is_left_out(
    film_s: float, *, has_pitch: bool
) -> None:
    silence = Recording.from_samples(np.zeros(64_000), 16_000)
    pitch = contour("lantern", film_s) if has_pitch else None
    reference = Reference.from_textgrid(grid("lantern", film_s=film_s), pitch=pitch, audio=silence)
    assert reference.audio is None
    assert reference.words[0].start == 0.0
    assert (reference.pitch is not None) == has_pitch


def unvoiced(start_s: float) -> bytes:
    return json.dumps([{"time": start_s + i / 100, "hz": None} for i in range(365)]).encode()


@pytest.mark.parametrize("film_s", [EARLY_S, FILM_S])
def test_a_contour_of_a_whisper_is_left_out(speech: Speech, film_s: float) -> None:
    whispered = grid("lantern", film_s=film_s)
    alone = Reference.from_textgrid(whispered, pitch=unvoiced(0.0))
    assert alone.pitch is None
    assert alone.words[0].start == 0.0
    beside = Reference.from_textgrid(
        whispered, pitch=unvoiced(0.0), audio=speech.recording("lantern", "actor")
    )
    assert beside.audio is not None
    assert beside.words[0].start == pytest.approx(first_word("lantern"), abs=0.02)


@pytest.mark.parametrize("film_s", [EARLY_S, FILM_S])
def test_a_line_that_cannot_be_read_is_not_refused_for_what_cannot_be_tied_to_it(
    speech: Speech, film_s: float
) -> None:
    words = GridTier("words", [(film_s, film_s + 0.5, "안녕"), (film_s + 0.5, film_s + 1, "친구")])
    reference = Reference.from_textgrid(
        long_text(words, end=7200.0).encode(),
        pitch=contour("lantern", 0.0),
        audio=speech.recording("lantern", "actor"),
    )
    assert [word.text for word in reference.words] == ["안녕", "친구"]
    assert reference.pitch is None
    assert reference.audio is None


def test_far_points_and_a_single_point_are_no_work() -> None:
    words = [ReferenceWord("word", i / 10, i / 10 + 0.1) for i in range(999)]
    far = PitchContour.from_points(np.array([0.0, 0.01, 1e6]), np.array([100.0, np.nan, 100.0]))
    single = PitchContour.from_points(np.array([0.1]), np.array([100.0]))
    start = time.process_time()
    assert lead_in(words, far) is None
    assert lead_in(words, single) is None
    assert time.process_time() - start < 3.0
