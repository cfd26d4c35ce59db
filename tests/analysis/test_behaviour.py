"""What each score answers to, and what it does not, on synthetic speech."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.reference import Reference
from analysis.result import AnalysisResult
from analysis.scoring import score

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech

LINES = ("lantern", "harbor", "stranger", "winter")
# Lines of which there is a slower and a monotone rendering.
SLOWER = ("lantern", "harbor")
MONOTONE = ("lantern", "harbor", "stranger")
NOISE_DB = 20.0
NOISE_MOVES_AT_MOST = 5.0
SILENCE_MOVES_AT_MOST = 3.0


def timing(result: AnalysisResult) -> float:
    assert result.scores.timing is not None
    return result.scores.timing


def pitch(result: AnalysisResult) -> float:
    assert result.scores.pitch is not None
    return result.scores.pitch


def movement(before: AnalysisResult, after: AnalysisResult) -> dict[str, float]:
    """By how much each score moves."""
    old, new = before.scores.model_dump(), after.scores.model_dump()
    return {name: abs(new[name] - old[name]) for name in old if old[name] is not None}


def feedback(result: AnalysisResult) -> list[str]:
    return [item.code for item in result.feedback]


@pytest.mark.parametrize("coarse", [False, True], ids=["pitch each 10 ms", "pitch each 100 ms"])
@pytest.mark.parametrize("line", LINES)
def test_the_actors_own_rendering_is_at_least_95_in_timing_and_pitch(
    speech: Speech, line: str, coarse: bool
) -> None:
    result = speech.scored(line, "actor", coarse=coarse)
    assert timing(result) >= 95.0
    assert pitch(result) >= 95.0


@pytest.mark.parametrize("line", LINES)
def test_another_speaker_with_the_same_melody_loses_nothing_for_the_octave(
    speech: Speech, line: str
) -> None:
    result = speech.scored(line, "good")
    ours, theirs = result.pitch.user_median_hz, result.pitch.reference_median_hz
    assert ours is not None
    assert theirs is not None
    assert pitch(result) >= 90.0
    assert timing(result) >= 95.0


def test_the_voices_of_that_test_do_differ_by_most_of_an_octave(speech: Speech) -> None:
    intervals = []
    for line in LINES:
        detail = speech.scored(line, "good").pitch
        assert detail.user_median_hz is not None
        assert detail.reference_median_hz is not None
        intervals.append(abs(12.0 * np.log2(detail.user_median_hz / detail.reference_median_hz)))
    assert max(intervals) > 7.0


@pytest.mark.parametrize("line", SLOWER)
def test_thirty_percent_slower_lowers_timing_and_not_pitch(speech: Speech, line: str) -> None:
    good, slower = speech.scored(line, "good"), speech.scored(line, "slower")
    assert slower.timing.tempo_ratio == pytest.approx(1.3, abs=0.08)
    assert timing(slower) < timing(good) - 20.0
    assert pitch(slower) > pitch(good) - 7.0
    assert "too_slow" in feedback(slower)


@pytest.mark.parametrize("line", MONOTONE)
def test_monotone_lowers_pitch_and_not_timing(speech: Speech, line: str) -> None:
    good, monotone = speech.scored(line, "good"), speech.scored(line, "monotone")
    assert pitch(monotone) < 30.0
    assert timing(monotone) > timing(good) - 3.0
    assert "melody_flat" in feedback(monotone)


@pytest.mark.parametrize("line", LINES)
def test_noise_at_20_db_moves_no_score_by_more_than_five(speech: Speech, line: str) -> None:
    clean = speech.recording(line, "actor")
    rng = np.random.default_rng(20)
    level = np.sqrt(np.mean(np.square(clean.samples))) * 10.0 ** (-NOISE_DB / 20.0)
    noisy = Recording.from_samples(
        clean.samples + level * rng.standard_normal(clean.samples.size).astype(np.float32),
        SAMPLE_RATE_HZ,
    )
    moved = movement(speech.scored(line, "actor"), score(noisy, speech.reference(line)))
    assert max(moved.values()) <= NOISE_MOVES_AT_MOST, moved


def test_a_late_start_changes_nothing(speech: Speech) -> None:
    clean = speech.recording("lantern", "good")
    late = Recording.from_samples(
        np.concatenate([np.zeros(SAMPLE_RATE_HZ, np.float32), clean.samples]), SAMPLE_RATE_HZ
    )
    result = score(late, speech.reference("lantern"))
    on_time = speech.scored("lantern", "good")
    assert result.timing.offset_s == pytest.approx((on_time.timing.offset_s or 0.0) + 1.0, abs=0.05)
    assert timing(result) == pytest.approx(timing(on_time), abs=3.0)
    assert pitch(result) == pytest.approx(pitch(on_time), abs=3.0)


@pytest.mark.parametrize("level", [0.0, 1e-4], ids=["nothing", "faint hiss"])
@pytest.mark.parametrize("line", LINES)
def test_silence_around_the_line_moves_no_score(speech: Speech, line: str, level: float) -> None:
    """Whoever presses the button early and late is heard alike."""
    rng = np.random.default_rng(21)
    clean = speech.recording(line, "good")
    silence = level * rng.standard_normal((2, 3 * SAMPLE_RATE_HZ)).astype(np.float32)
    longer = np.concatenate((silence[0], clean.samples, silence[1]))
    padded = score(Recording.from_samples(longer, SAMPLE_RATE_HZ), speech.reference(line))
    moved = movement(speech.scored(line, "good"), padded)
    assert max(moved.values()) <= SILENCE_MOVES_AT_MOST, moved


@pytest.mark.parametrize("container", ["m4a", "webm"])
def test_what_a_phone_or_a_browser_records_scores_like_the_original(
    speech: Speech, container: str
) -> None:
    encoded = Recording.from_file(speech.path("lantern", f"good.{container}"))
    result = score(encoded, speech.reference("lantern"))
    original = speech.scored("lantern", "good")
    assert timing(result) == pytest.approx(timing(original), abs=3.0)
    assert pitch(result) == pytest.approx(pitch(original), abs=3.0)


def test_film_time_scores_like_clip_time(speech: Speech) -> None:
    film = Reference.from_textgrid(
        speech.path("lantern", "film_time.TextGrid").read_bytes(),
        pitch=speech.path("lantern", "film_time_pitch.json").read_bytes(),
    )
    result = score(speech.recording("lantern", "good"), film)
    original = speech.scored("lantern", "good", coarse=True)
    assert timing(result) == pytest.approx(timing(original), abs=0.5)
    assert pitch(result) == pytest.approx(pitch(original), abs=0.5)


def test_silence_gets_zeros_and_says_no_speech(speech: Speech) -> None:
    silence = Recording.from_file(speech.folder / "silence.flac")
    result = score(silence, speech.reference("lantern"))
    assert set(result.scores.model_dump().values()) == {0.0}
    assert feedback(result)[0] == "no_speech"
    assert all(word.user is None for word in result.words)


def test_another_sentence_gets_low_scores_and_says_so(speech: Speech) -> None:
    wrong = Recording.from_file(speech.folder / "wrong_sentence.flac")
    result = score(wrong, speech.reference("lantern"))
    assert feedback(result)[0] == "wrong_text"
    assert result.scores.overall is not None
    assert result.scores.overall < 30.0


def test_noise_alone_gets_zeros_and_a_reason(speech: Speech) -> None:
    noise = Recording.from_file(speech.folder / "noise.flac")
    result = score(noise, speech.reference("lantern"))
    assert result.scores.overall == 0.0
    assert feedback(result)[0] in ("no_speech", "wrong_text")


def words_of(speech: Speech, line: str, first: int, past: int) -> AnalysisResult:
    """A line of which some words were said, the others cut off at its ends."""
    said = Reference.from_textgrid(speech.path(line, "good.TextGrid").read_bytes()).words
    start, end = said[first].start, said[past - 1].end
    assert start is not None
    assert end is not None
    samples = speech.recording(line, "good").samples
    part = samples[int(start * SAMPLE_RATE_HZ) : int(end * SAMPLE_RATE_HZ)]
    return score(
        Recording.from_samples(np.pad(part, SAMPLE_RATE_HZ // 2), SAMPLE_RATE_HZ),
        speech.reference(line),
    )


def test_a_line_that_breaks_off_falls_word_by_word_and_says_what_is_missing(speech: Speech) -> None:
    counts = (18, 15, 12, 9, 6, 3, 1)
    results = [words_of(speech, "harbor", 0, count) for count in counts]
    overall = [result.scores.overall or 0.0 for result in results]
    assert overall == sorted(overall, reverse=True)
    assert min(before - after for before, after in pairwise(overall)) > 5.0
    for count, result in zip(counts, results, strict=True):
        assert result.scores.completeness == pytest.approx(100.0 * count / 18, abs=6.0)
        assert [word.status == "omitted" for word in result.words] == [
            index >= count for index in range(18)
        ]
    assert all("omitted" in feedback(result) for result in results[1:])
    half = results[counts.index(9)]
    assert 40.0 < overall[counts.index(9)] < 60.0
    assert half.words[8].scores.pronunciation == pytest.approx(
        results[0].words[8].scores.pronunciation or 0.0, abs=20.0
    )


def test_the_end_of_a_line_counts_as_much_as_its_beginning(speech: Speech) -> None:
    result = words_of(speech, "harbor", 10, 18)
    assert result.scores.completeness == pytest.approx(100.0 * 8 / 18, abs=0.01)
    assert feedback(result)[0] == "omitted"
    assert all(word.user is None for word in result.words[:10])
    assert 30.0 < (result.scores.overall or 0.0) < 60.0


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.0, 1.5, 1.8])
def test_a_few_words_of_a_long_line_have_low_scores_and_not_none(
    speech: Speech, seconds: float
) -> None:
    samples = speech.recording("winter", "good").samples[: int(seconds * SAMPLE_RATE_HZ)]
    result = score(Recording.from_samples(samples, SAMPLE_RATE_HZ), speech.reference("winter"))
    assert 0.0 <= (result.scores.overall if result.scores.overall is not None else -1.0) < 30.0
    assert all(word.scores.pronunciation is not None for word in result.words)
    assert sum(word.status == "omitted" for word in result.words) >= 20
    assert feedback(result)[0] in ("omitted", "no_speech", "wrong_text")


def test_more_phones_than_there_is_sound_for_are_another_text(speech: Speech) -> None:
    """No part of this line is what was said, and there is too little sound for all of it."""
    samples = speech.recording("lantern", "good").samples[: int(0.9 * SAMPLE_RATE_HZ)]
    line = Reference.from_text(" ".join(["strengths prompts scrunched"] * 6))
    result = score(Recording.from_samples(samples, SAMPLE_RATE_HZ), line)
    assert feedback(result)[0] == "wrong_text"
    assert set(result.scores.model_dump(exclude={"timing", "pitch"}).values()) == {0.0}
    assert {word.status for word in result.words} == {"omitted"}


def test_speech_has_the_rate_of_the_words_that_were_said(speech: Speech) -> None:
    said = Reference.from_textgrid(speech.path("lantern", "omitted.TextGrid").read_bytes())
    known = score(speech.recording("lantern", "omitted"), said).fluency
    found = speech.scored("lantern", "omitted").fluency
    assert found.syllables == known.syllables
    assert found.speech_rate == pytest.approx(known.speech_rate or 0.0, rel=0.05)


@pytest.mark.parametrize("level", [0.0, 1e-3], ids=["nothing", "hiss"])
@pytest.mark.parametrize("seconds", [6, 20, 60])
def test_one_word_in_a_long_silence_scores_as_in_a_short_one(
    speech: Speech, seconds: int, level: float
) -> None:
    last = Reference.from_textgrid(speech.path("lantern", "good.TextGrid").read_bytes()).words[-1]
    assert last.start is not None
    samples = speech.recording("lantern", "good").samples
    word = np.pad(samples[int((last.start - 0.03) * SAMPLE_RATE_HZ) :], SAMPLE_RATE_HZ)
    noise = level * np.random.default_rng(22).standard_normal(seconds * SAMPLE_RATE_HZ)
    long = np.pad(word, (0, noise.size - word.size)) + noise
    line = Reference.from_text(last.text)
    short = score(Recording.from_samples(long[: word.size], SAMPLE_RATE_HZ), line)
    moved = movement(short, score(Recording.from_samples(long, SAMPLE_RATE_HZ), line))
    assert (short.scores.overall or 0.0) > 60.0
    assert max(value for value in moved.values()) <= SILENCE_MOVES_AT_MOST, moved
