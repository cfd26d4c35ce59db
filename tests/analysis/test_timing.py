"""Comparing when words are said."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.aligned import AlignedPhone, AlignedWord, Alignment
from analysis.reference import Reference
from analysis.reference_words import ReferencePhone, ReferenceWord
from analysis.timing import TimingComparison, compare_timing

Span = tuple[float, float]
LINE: list[Span] = [(0.3, 0.6), (0.6, 0.8), (0.8, 1.4), (1.9, 2.3), (2.3, 2.5), (2.5, 3.2)]


def split(span: Span) -> tuple[Span, Span]:
    """A word is a consonant and a vowel, the vowel twice as long."""
    seam = span[0] + (span[1] - span[0]) / 3.0
    return (span[0], seam), (seam, span[1])


def reference(spans: Sequence[Span], *, phones: bool = True) -> Reference:
    words = []
    for span in spans:
        consonant, vowel = split(span)
        inside = (
            (ReferencePhone("T", None, *consonant), ReferencePhone("AH", 1, *vowel))
            if phones
            else ()
        )
        words.append(ReferenceWord("tu", span[0], span[1], inside))
    return Reference(words=tuple(words), duration=spans[-1][1] + 0.3)


def alignment(spans: Sequence[Span | None]) -> Alignment:
    words: list[AlignedWord | None] = []
    for index, span in enumerate(spans):
        if span is None:
            words.append(None)
            continue
        consonant, vowel = split(span)
        phones = (AlignedPhone("T", *consonant), AlignedPhone("AH", *vowel))
        words.append(AlignedWord(index, "tu", span[0], span[1], phones))
    return Alignment(tuple(words), "test")


def moved(spans: Sequence[Span], *, by: float = 0.0, factor: float = 1.0) -> list[Span]:
    return [(by + factor * start, by + factor * end) for start, end in spans]


def compared(user: Sequence[Span | None], **options: frozenset[int]) -> TimingComparison:
    return compare_timing(reference(LINE), alignment(user), **options)


def test_the_actors_own_timing_scores_full_marks() -> None:
    result = compared(LINE)
    assert result.score == pytest.approx(100.0)
    assert result.matched_words == len(LINE)
    assert (result.onsets, result.tempo, result.durations, result.pauses, result.rhythm) == (
        pytest.approx((100.0,) * 5)
    )


@pytest.mark.parametrize("late", [-0.2, 0.064, 1.5])
def test_a_constant_delay_costs_nothing(late: float) -> None:
    result = compared(moved(LINE, by=late))
    assert result.score == pytest.approx(100.0)
    assert result.offset == pytest.approx(late)


@pytest.mark.parametrize("factor", [1.3, 1.0 / 1.3])
def test_another_tempo_costs_tempo_and_onsets_but_not_durations(factor: float) -> None:
    result = compared(moved(LINE, factor=factor))
    assert result.tempo_ratio == pytest.approx(factor)
    assert result.tempo is not None
    assert result.tempo < 65.0
    assert result.onsets is not None
    assert result.onsets < 85.0
    assert result.durations == pytest.approx(100.0, abs=1.0)
    assert result.score is not None
    assert result.score < 85.0


def test_slower_and_slower_costs_more_and_more() -> None:
    scores = [compared(moved(LINE, factor=f)).score or 0.0 for f in (1.0, 1.1, 1.2, 1.4, 1.8)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 60.0


def test_errors_as_small_as_the_aligners_own_are_free() -> None:
    jittered = [
        (start + 0.03 * (-1) ** i, end - 0.03 * (-1) ** i) for i, (start, end) in enumerate(LINE)
    ]
    result = compared(jittered)
    assert result.score is not None
    assert result.score > 95.0


def test_a_pause_that_is_not_taken_is_found_where_it_is_missing() -> None:
    hurried = [*LINE[:3], *moved(LINE[3:], by=-0.45)]
    result = compared(hurried)
    errors = [word.pause_error for word in result.words if word]
    assert errors[3] == pytest.approx(-0.45)
    assert [error for i, error in enumerate(errors) if i != 3] == [None] * 5
    assert result.pauses is not None
    assert result.pauses < 60.0


def test_a_pause_that_is_added_is_found_before_the_word_it_delays() -> None:
    halting = [*LINE[:1], *moved(LINE[1:], by=0.6)]
    result = compared(halting)
    assert result.words[1] is not None
    assert result.words[1].pause_error == pytest.approx(0.6)


def test_a_drawled_word_is_the_one_with_the_low_score() -> None:
    drawled = [*LINE[:4], (2.3, 3.0), *moved(LINE[5:], by=0.5)]
    scores = [word.score for word in compared(drawled).words if word]
    ratios = [word.duration_ratio for word in compared(drawled).words if word]
    assert max(range(6), key=ratios.__getitem__) == 4
    assert min(scores) in (scores[4], scores[5])


def test_omitted_words_count_as_zero_onsets_and_durations() -> None:
    without = [LINE[0], None, *LINE[2:]]
    kept = compared(without)
    missed = compared(without, omitted=frozenset({1}))
    assert kept.onsets == pytest.approx(100.0)
    assert missed.onsets == pytest.approx(100.0 * 5 / 6)
    assert missed.words[1] is None


def test_a_word_that_was_omitted_is_not_compared_even_if_it_was_placed() -> None:
    assert compared(LINE, omitted=frozenset({1})).words[1] is None


def test_leaving_a_word_out_is_not_taken_for_hurry() -> None:
    closed_up = [LINE[0], LINE[1], None, *moved(LINE[3:], by=-0.6)]
    result = compared(closed_up, omitted=frozenset({2}))
    assert result.tempo_ratio == pytest.approx(1.0)
    assert result.tempo == pytest.approx(100.0)


def test_a_line_of_one_word_has_a_tempo_and_nothing_else() -> None:
    result = compare_timing(reference([(0.2, 0.9)]), alignment([(0.5, 1.2)]))
    assert (result.onsets, result.durations, result.pauses, result.rhythm) == (None,) * 4
    assert result.tempo == result.score == pytest.approx(100.0)


def test_the_fewer_words_are_left_the_lower_the_score_down_to_one() -> None:
    kept = [compared(LINE, omitted=frozenset(range(count, 6))) for count in range(6, 0, -1)]
    scores = [result.score or 0.0 for result in kept]
    assert scores == sorted(scores, reverse=True)
    assert kept[-1].onsets == pytest.approx(100.0 / 6)
    assert kept[-1].durations == pytest.approx(100.0 * 0.3 / 2.4)
    assert scores[-1] < 45.0


def test_without_a_matched_word_there_is_no_score() -> None:
    result = compared([None] * len(LINE))
    assert result.score is None
    assert result.words == (None,) * len(LINE)


def test_without_phones_in_the_reference_there_is_no_rhythm() -> None:
    result = compare_timing(reference(LINE, phones=False), alignment(LINE))
    assert result.rhythm is None
    assert result.score == pytest.approx(100.0)


def test_even_syllables_against_uneven_ones_cost_rhythm() -> None:
    even = [(0.3 + 0.5 * i, 0.3 + 0.5 * (i + 1)) for i in range(6)]
    result = compared(even)
    assert result.npvi_user == pytest.approx(0.0, abs=1e-9)
    assert result.npvi_reference is not None
    assert result.npvi_reference > 50.0
    assert result.rhythm is not None
    assert result.rhythm < 60.0
    assert math.isfinite(result.score or math.nan)


@st.composite
def renderings(draw: st.DrawFn) -> list[Span]:
    """Six words in order, each 10 ms to 2 s long, with gaps of up to 3 s."""
    spans: list[Span] = []
    end = draw(st.floats(0.0, 5.0))
    for _ in LINE:
        start = end + draw(st.sampled_from([0.0, 0.01]) | st.floats(0.0, 3.0))
        end = start + draw(st.floats(0.01, 2.0))
        spans.append((start, end))
    return spans


@given(theirs=renderings(), ours=renderings(), missing=st.sets(st.integers(0, 5)))
@settings(max_examples=100, deadline=None)
def test_whatever_is_said_every_score_stays_on_the_scale(
    theirs: list[Span], ours: list[Span], missing: set[int]
) -> None:
    placed = [None if index in missing else span for index, span in enumerate(ours)]
    result = compare_timing(reference(theirs), alignment(placed), omitted=frozenset(missing))
    scores = [result.score, result.onsets, result.tempo, result.durations]
    scores += [result.pauses, result.rhythm, *(word.score for word in result.words if word)]
    assert (result.score is None) is (len(missing) == len(LINE))
    assert all(0.0 <= score <= 100.0 + 1e-9 for score in scores if score is not None)
