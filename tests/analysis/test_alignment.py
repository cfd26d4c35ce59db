"""Where words and phones lie, whatever was aligned before."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from analysis.aligned import AlignedWord, Alignment
from analysis.alignment import Aligner
from analysis.audio import Recording
from analysis.errors import ReferenceFormatError
from analysis.reference import Reference

FIXTURES = Path(__file__).parents[1] / "fixtures"
LINES = ("lantern", "stranger", "harbor")


def timed_reference(line: str) -> Reference:
    return Reference.from_textgrid((FIXTURES / line / "actor.TextGrid").read_bytes())


def recording(line: str, rendering: str = "good") -> Recording:
    return Recording.from_file(FIXTURES / line / f"{rendering}.flac")


def line_text(line: str) -> str:
    manifest = json.loads((FIXTURES / "manifest.json").read_text())
    text: str = next(row["text"] for row in manifest["lines"] if row["name"] == line)
    return text


def all_placed(alignment: Alignment) -> tuple[AlignedWord, ...]:
    """The words of a line on which every one has its place."""
    assert None not in alignment.words
    return alignment.placed


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


@pytest.mark.parametrize("line", LINES)
def test_words_lie_where_the_synthesiser_put_them(aligner: Aligner, line: str) -> None:
    reference = timed_reference(line)
    placed = all_placed(aligner.align(recording(line, "actor"), reference))
    truths = [word.start for word in reference.words if word.start is not None]
    errors = [abs(word.start - truth) for word, truth in zip(placed, truths, strict=True)]
    assert np.median(errors) < 0.04
    assert max(errors) < 0.25


def test_every_phone_of_the_reference_is_placed_in_order(aligner: Aligner) -> None:
    reference = timed_reference("lantern")
    result = aligner.align(recording("lantern"), reference)
    assert result.method == "network"
    assert result.note is None
    placed = all_placed(result)
    for word, truth in zip(placed, reference.words, strict=True):
        assert [phone.phone for phone in word.phones] == [phone.phone for phone in truth.phones]
    phones = [phone for word in placed for phone in word.phones]
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(phones))
    assert all(phone.end > phone.start for phone in phones)


def test_given_phones_are_used_for_a_word_that_no_dictionary_knows(aligner: Aligner) -> None:
    text = line_text("lantern").replace("lantern", "xqzt")
    words = text.split()
    phones: list[list[str] | None] = [None] * len(words)
    phones[words.index("xqzt")] = ["L", "AE1", "N", "T", "ER0", "N"]
    result = aligner.align(recording("lantern"), Reference.from_text(text, phones=phones))
    spelt_right = aligner.align(recording("lantern"), Reference.from_text(line_text("lantern")))
    place = words.index("xqzt")
    found, expected = all_placed(result)[place], all_placed(spelt_right)[place]
    assert [p.phone for p in found.phones] == ["L", "AE", "N", "T", "ER", "N"]
    assert found.start == pytest.approx(expected.start, abs=0.03)


def test_a_word_that_is_not_english_is_left_out_with_a_note(aligner: Aligner) -> None:
    text = line_text("lantern")
    result = aligner.align(recording("lantern"), Reference.from_text(f"{text} 안녕하세요"))
    assert result.words[-1] is None
    assert all(word is not None for word in result.words[:-1])
    assert result.note is not None
    assert "English" in result.note


def test_a_line_with_no_english_at_all_is_placed_nowhere(aligner: Aligner) -> None:
    result = aligner.align(recording("lantern"), Reference.from_text("안녕 하세요"))
    assert result.words == (None, None)
    assert result.method == "none"


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.3])
def test_a_recording_too_short_for_its_text_is_no_exception(
    aligner: Aligner, seconds: float
) -> None:
    silence = Recording.from_samples(np.full(int(16000 * seconds) + 1, 1e-3, np.float32), 16000)
    result = aligner.align(silence, Reference.from_text(line_text("harbor")))
    assert result.placed == ()
    assert result.note


def test_a_line_that_nobody_could_say_is_refused_before_anything_is_made_of_it(
    aligner: Aligner,
) -> None:
    spoken = recording("lantern")
    with pytest.raises(ReferenceFormatError, match=r"[\d,]+ phones; the limit is 3,000") as caught:
        aligner.align(spoken, Reference.from_text("extraordinary " * 410))
    assert caught.value.code == "reference_invalid"
    assert "log_mel" not in vars(spoken)


def test_two_minutes_of_the_fastest_speech_are_not_refused(aligner: Aligner) -> None:
    fast = Reference.from_text(
        f"{line_text('harbor')} " * (800 // len(line_text("harbor").split()))
    )
    assert len(fast.words) > 780
    assert aligner.align(recording("lantern"), fast).placed == ()


def test_a_failed_line_leaves_nothing_behind(aligner: Aligner) -> None:
    good = recording("lantern"), Reference.from_text(line_text("lantern"))
    before = aligner.align(*good)
    noise = np.random.default_rng(1).standard_normal(4000).astype(np.float32) * 0.1
    aligner.align(Recording.from_samples(noise, 16000), Reference.from_text(line_text("winter")))
    assert aligner.align(*good) == before


def test_an_alignment_does_not_depend_on_what_was_aligned_before() -> None:
    jobs = [(recording(line), timed_reference(line)) for line in LINES]
    jobs += [
        (recording(line, "slower"), Reference.from_text(line_text(line))) for line in LINES[:1]
    ]
    one = Aligner()
    forward = [one.align(*job) for job in jobs]
    backward = [one.align(*job) for job in reversed(jobs)][::-1]
    alone = [Aligner().align(*job) for job in jobs]
    assert forward == backward == alone


def _align_lantern(_: None) -> Alignment:
    return Aligner().align(recording("lantern"), timed_reference("lantern"))


def test_an_alignment_is_the_same_in_another_process() -> None:
    here = _align_lantern(None)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_align_lantern, None).result(timeout=60) == here
