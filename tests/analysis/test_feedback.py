"""What a learner is told."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from analysis.aligned import AlignedWord, Alignment
from analysis.assessment import Assessment, PhoneAssessment, WordAssessment
from analysis.audio import SAMPLE_RATE_HZ, AudioWarning, Recording
from analysis.contour import PitchContour
from analysis.feedback import MAX_ITEMS, Evidence, advise
from analysis.fluency import measure_fluency
from analysis.melody import PitchComparison
from analysis.phones import PHONES
from analysis.reference import Reference
from analysis.reference_words import ReferenceWord
from analysis.sentences import SENTENCES, SOUNDS, Language, sentence
from analysis.timing import TimingComparison, WordTiming

LINE = ("I", "think", "so", "too")
LANGUAGES = get_args(Language)


def word(index: int, score: float | None = 95.0, status: str = "ok") -> WordAssessment:
    phones = (PhoneAssessment("T", index + 0.0, index + 0.5, score),)
    return WordAssessment(index, status, score, phones)  # type: ignore[arg-type]


def evidence() -> Evidence:
    """A line said to perfection."""
    placed = tuple(AlignedWord(i, text, i + 0.0, i + 0.9, ()) for i, text in enumerate(LINE))
    timed = tuple(WordTiming(i, 100.0, 0.0, 1.0, None) for i in range(len(LINE)))
    alignment = Alignment(placed, "test")
    return Evidence(
        recording=Recording.from_samples(0.3 * np.ones(4 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ),
        reference=Reference(words=tuple(ReferenceWord(text) for text in LINE)),
        alignment=alignment,
        assessment=Assessment(
            words=tuple(word(i) for i in range(len(LINE))),
            pronunciation=95.0,
            fluency=90.0,
            prosody=90.0,
            completeness=100.0,
            total=92.0,
            speech="ok",
            engine={},
        ),
        timing=TimingComparison(
            100.0, timed, onsets=100.0, tempo=100.0, durations=100.0, tempo_ratio=1.0
        ),
        pitch=PitchComparison(
            score=100.0,
            word_scores=(100.0,) * len(LINE),
            shape_score=100.0,
            range_score=100.0,
            correlation=1.0,
            rmse_semitones=0.0,
            range_ratio=1.0,
            final_movement=(-3.0, -3.0),
            shared_frames=200,
            user_median_hz=120.0,
            reference_median_hz=120.0,
            user_contour=np.empty((0, 2)),
            reference_contour=np.empty((0, 2)),
        ),
        own_pitch=PitchContour(np.empty(0), np.empty(0), 0.01),
        fluency=measure_fluency(alignment),
        weights={"pronunciation": 0.5, "timing": 0.25, "pitch": 0.25},
        overall=97.0,
    )


def with_words(*words: WordAssessment) -> Evidence:
    said = evidence()
    return replace(said, assessment=replace(said.assessment, words=words))


def with_timing(**changes: object) -> Evidence:
    said = evidence()
    assert said.timing is not None
    return replace(said, timing=replace(said.timing, score=80.0, **changes))  # type: ignore[arg-type]


def with_pitch(**changes: object) -> Evidence:
    said = evidence()
    assert said.pitch is not None
    return replace(said, pitch=replace(said.pitch, score=40.0, **changes))  # type: ignore[arg-type]


def codes(found: Evidence) -> list[str]:
    return [advice.code for advice in advise(found)]


def test_a_line_said_to_perfection_is_praised() -> None:
    assert codes(evidence()) == ["well_done"]


@pytest.mark.parametrize("speech", ["no_speech", "wrong_text"])
def test_silence_and_another_text_are_all_that_is_said(speech: str) -> None:
    said = evidence()
    bad = tuple(word(i, 0.0, "omitted") for i in range(len(LINE)))
    judged = replace(said.assessment, words=bad, speech=speech)  # type: ignore[arg-type]
    assert codes(replace(said, assessment=judged)) == [speech]


def test_neighbouring_omitted_words_are_one_sentence_at_the_gap_where_they_were() -> None:
    said = with_words(word(0), word(1, 0.0, "omitted"), word(2, 0.0, "omitted"), word(3))
    placed = tuple(None if i in (1, 2) else w for i, w in enumerate(said.alignment.words))
    first = advise(replace(said, alignment=replace(said.alignment, words=placed)))[0]
    assert first.code == "omitted"
    assert first.say("en") == "You left out “think so”."
    assert first.span == (0.9, 3.0)
    assert first.word_index == 1


def test_a_mispronounced_sound_is_named_with_what_it_sounded_like() -> None:
    phones = (
        PhoneAssessment("TH", 1.0, 1.2, 15.0, said="S", said_confidence=0.9),
        PhoneAssessment("IH", 1.2, 1.4, 90.0),
    )
    said = with_words(word(0), WordAssessment(1, "mispronounced", 50.0, phones), word(2), word(3))
    first = advise(said)[0]
    assert first.code == "sound_replaced"
    assert first.span == (1.0, 1.2)
    assert first.say("en") == "In “think”, “th” (think) sounded like “s” (see)."
    assert first.effect == pytest.approx(0.5 * 50.0 / 4)


def test_a_sound_that_was_clearly_another_is_named_although_it_did_not_score_that_low() -> None:
    phones = (
        PhoneAssessment("ER", 1.0, 1.2, 60.0, said="W", said_confidence=0.8),
        PhoneAssessment("N", 1.2, 1.3, 90.0),
    )
    said = with_words(word(0), WordAssessment(1, "mispronounced", 65.0, phones), word(2), word(3))
    first = advise(said)[0]
    assert first.code == "sound_replaced"
    assert first.values["said"] == "W"


def test_a_word_that_is_bad_all_over_is_named_as_a_word() -> None:
    assert codes(with_words(word(0, 55.0, "mispronounced"), word(1), word(2), word(3))) == [
        "word_unclear"
    ]


@pytest.mark.parametrize(("ratio", "code"), [(1.3, "too_slow"), (0.75, "too_fast")])
def test_another_tempo_is_told_once_and_the_late_words_are_not(ratio: float, code: str) -> None:
    late = tuple(WordTiming(i, 60.0, 0.3 * i, 1.0, None) for i in range(len(LINE)))
    assert codes(with_timing(tempo_ratio=ratio, tempo=40.0, onsets=50.0, words=late)) == [code]


@pytest.mark.parametrize(("error", "code"), [(0.7, "pause_added"), (-0.7, "pause_missing")])
def test_a_pause_is_told_at_its_word(error: float, code: str) -> None:
    words = tuple(
        WordTiming(i, 70.0, 0.0, 1.0, error if i == 2 else None) for i in range(len(LINE))
    )
    first = advise(with_timing(pauses=30.0, onsets=80.0, words=words))[0]
    assert (first.code, first.word_index, first.values["seconds"]) == (code, 2, 0.7)


def test_words_that_come_early_because_another_was_left_out_are_not_told() -> None:
    early = [WordTiming(i, 70.0, -0.4 if i > 1 else 0.0, 1.0, None) for i in range(len(LINE))]
    assert "word_early" in codes(with_timing(onsets=60.0, words=tuple(early)))
    assert codes(with_timing(onsets=60.0, words=(early[0], None, *early[2:]))) == ["well_done"]


@pytest.mark.parametrize(("ratio", "code"), [(1.9, "word_long"), (0.5, "word_short")])
def test_a_drawled_or_clipped_word_is_told(ratio: float, code: str) -> None:
    words = tuple(
        WordTiming(i, 70.0, 0.0, ratio if i == 1 else 1.0, None) for i in range(len(LINE))
    )
    first = advise(with_timing(durations=60.0, words=words))[0]
    assert (first.code, first.word_index) == (code, 1)


@pytest.mark.parametrize(("ratio", "code"), [(0.1, "melody_flat"), (2.5, "melody_wide")])
def test_a_melody_of_another_width_is_all_that_is_told_of_it(ratio: float, code: str) -> None:
    low = (10.0,) * len(LINE)
    assert codes(with_pitch(range_ratio=ratio, word_scores=low)) == [code]


@pytest.mark.parametrize(
    ("movement", "code"), [((-4.0, 4.0), "end_should_rise"), ((4.0, -4.0), "end_should_fall")]
)
def test_an_end_that_goes_the_other_way_is_told(movement: tuple[float, float], code: str) -> None:
    assert codes(with_pitch(final_movement=movement)) == [code]


def test_the_word_whose_melody_differs_most_is_named() -> None:
    first = advise(with_pitch(word_scores=(90.0, None, 20.0, 60.0)))[0]
    assert (first.code, first.word_index) == ("melody_differs", 2)


def test_at_most_five_things_are_told_and_the_costliest_first() -> None:
    bad = [word(i % 4, 10.0 * i, "mispronounced") for i in range(4)]
    said = with_words(*bad)
    assert said.timing is not None
    assert said.pitch is not None
    late = tuple(WordTiming(i, 60.0, 0.0, 1.0, None) for i in range(len(LINE)))
    said = replace(
        said,
        timing=replace(said.timing, score=50.0, tempo=10.0, tempo_ratio=1.6, words=late),
        pitch=replace(said.pitch, score=20.0, range_ratio=0.1),
    )
    found = advise(said)
    effects = [advice.effect for advice in found]
    assert len(found) == MAX_ITEMS
    assert effects == sorted(effects, reverse=True)
    assert found[0].code == "melody_flat"


def test_trifles_are_not_worth_a_sentence() -> None:
    said = with_words(*(word(i, 49.9 if i == 0 else 99.0) for i in range(4)))
    trifling = replace(said, weights={"pronunciation": 0.01})
    assert codes(trifling) == ["well_done"]


def test_a_warning_about_the_sound_keeps_its_place_at_the_end() -> None:
    said = with_words(*(word(i, 10.0, "mispronounced") for i in range(4)))
    clipped = replace(said.recording, warnings=(AudioWarning("clipping", "too loud"),))
    found = codes(replace(said, recording=clipped))
    assert len(found) == MAX_ITEMS
    assert found[-1] == "clipping"


def test_a_line_that_was_not_found_says_so() -> None:
    said = evidence()
    nowhere = Alignment((None,) * len(LINE), "none", "not aligned")
    unknown = tuple(WordAssessment(i, "ok", None, ()) for i in range(len(LINE)))
    found = replace(
        said,
        alignment=nowhere,
        assessment=replace(said.assessment, words=unknown, pronunciation=None),
        timing=None,
        pitch=None,
        overall=None,
    )
    assert codes(found) == ["not_aligned"]


def test_without_an_actor_stops_and_a_flat_voice_are_told() -> None:
    said = evidence()
    halting = Alignment(
        tuple(AlignedWord(i, text, 2.0 * i, 2.0 * i + 0.9, ()) for i, text in enumerate(LINE)),
        "test",
    )
    flat = PitchContour(np.linspace(0.0, 0.49, 50), np.full(50, 110.0), 0.01)
    found = advise(
        replace(
            said,
            timing=None,
            pitch=None,
            alignment=halting,
            fluency=measure_fluency(halting),
            own_pitch=flat,
            weights={"pronunciation": 0.6, "fluency": 0.2, "prosody": 0.2},
            assessment=replace(said.assessment, fluency=40.0, prosody=50.0),
        )
    )
    assert [advice.code for advice in found] == ["pauses", "monotone"]
    assert found[0].values["seconds"] == 3.3


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_every_sentence_is_there_in_every_language_with_the_same_values(code: str) -> None:
    assert set(SENTENCES[code]) == set(LANGUAGES)
    named = {
        language: {name for _, name, _, _ in string.Formatter().parse(text) if name}
        for language, text in SENTENCES[code].items()
    }
    assert len({frozenset(names) for names in named.values()}) == 1


def test_every_phone_has_a_spelling_for_learners() -> None:
    assert set(SOUNDS) == set(PHONES)


def test_a_word_with_braces_in_it_is_told_as_it_is() -> None:
    assert "{word}" in sentence("word_late", {"word": "{word}", "seconds": 0.3}, "ko")


def test_samples_beyond_the_scale_are_told_where_they_left_nothing_to_hear() -> None:
    said = evidence()
    warned = replace(said.recording, warnings=(AudioWarning("over_range", "100 times full scale"),))
    assert codes(replace(said, recording=warned)) == ["well_done"]
    lost = replace(said.assessment, speech="no_speech")
    assert codes(replace(said, recording=warned, assessment=lost)) == ["no_speech", "over_range"]
