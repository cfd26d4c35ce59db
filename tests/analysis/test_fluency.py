"""Rate, pauses and rhythm on alignments whose measures are known by hand."""

from collections.abc import Sequence

import pytest

from analysis.aligned import AlignedPhone, AlignedWord, Alignment
from analysis.fluency import PAUSE_S, measure_fluency


def line(*words: Sequence[tuple[str, float]], gap: float = 0.0, start: float = 0.5) -> Alignment:
    """Words as lists of (phone, seconds), `gap` seconds apart."""
    placed, now = [], start
    for index, word in enumerate(words):
        phones = []
        for phone, seconds in word:
            phones.append(AlignedPhone(phone, now, now + seconds))
            now += seconds
        placed.append(AlignedWord(index, "x", phones[0].start, phones[-1].end, tuple(phones)))
        now += gap
    return Alignment(tuple(placed), "network")


CAT = [("K", 0.1), ("AE", 0.2), ("T", 0.1)]
TEE = [("T", 0.1), ("IY", 0.1)]


def test_rate_is_syllables_over_the_time_from_first_to_last_word() -> None:
    found = measure_fluency(line(CAT, TEE))
    assert found.syllables == 2
    assert found.speech_rate == pytest.approx(2 / 0.6)
    assert found.articulation_rate == pytest.approx(2 / 0.6)
    assert found.phonation_ratio == pytest.approx(1.0)


def test_a_pause_slows_speech_but_not_articulation() -> None:
    found = measure_fluency(line(CAT, TEE, gap=0.5))
    assert found.speech_rate == pytest.approx(2 / 1.1)
    assert found.articulation_rate == pytest.approx(2 / 0.6)
    assert [pause.after_word for pause in found.pauses] == [0]
    assert found.pause_total == pytest.approx(0.5)
    assert found.longest_pause == pytest.approx(0.5)


def test_a_seam_between_words_is_no_pause() -> None:
    assert measure_fluency(line(CAT, TEE, gap=PAUSE_S - 0.01)).pauses == ()
    assert len(measure_fluency(line(CAT, TEE, gap=PAUSE_S + 0.01)).pauses) == 1


def test_npvi_follows_grabe_and_low() -> None:
    # Vowels of 0.2 and 0.1 s: 100 · 0.1 / 0.15.
    assert measure_fluency(line(CAT, TEE)).npvi_vowels == pytest.approx(100 * 0.1 / 0.15)


def test_even_vowels_have_no_variability() -> None:
    assert measure_fluency(line(TEE, TEE, TEE)).npvi_vowels == pytest.approx(0.0, abs=1e-9)


def test_percent_vowels_and_consonant_runs_follow_ramus() -> None:
    found = measure_fluency(line(CAT, TEE))
    assert found.percent_vowels == pytest.approx(50.0)
    # Runs: K 0.1; T of the first and T of the second word together 0.2.
    assert found.delta_consonants == pytest.approx(0.05)


def test_words_that_were_not_placed_are_passed_over() -> None:
    whole = line(CAT, TEE)
    holed = Alignment((whole.words[0], None, whole.words[1]), "network")
    assert measure_fluency(holed) == measure_fluency(whole)


def test_words_that_were_not_said_after_all_have_no_syllables() -> None:
    whole = line(CAT, TEE, CAT)
    said = whole.without({1})
    assert said.unsaid == {1}
    assert measure_fluency(said).syllables == 2
    assert measure_fluency(said) == measure_fluency(
        Alignment((whole.words[0], None, whole.words[2]), "network")
    )


def test_a_line_with_no_placed_word_has_no_measures() -> None:
    found = measure_fluency(Alignment((None, None), "none"))
    assert found.speech_rate is found.articulation_rate is found.npvi_vowels is None
    assert found.pauses == ()
    assert found.longest_pause == 0.0
