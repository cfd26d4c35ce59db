"""Speech beside the line: another line spliced into a rendering, and renderings as they are."""

from pathlib import Path

import numpy as np
import pytest

from analysis.audio import Recording
from analysis.reference import Reference
from analysis.result import AnalysisResult
from analysis.scoring import score

LINES = ("lantern", "harbor", "stranger", "winter")
FIXTURES = Path(__file__).parents[1] / "fixtures"
NEAR_S = 0.15
NEAR_THE_END_S = 0.4  # a last word fades into the silence behind it


def recording(line: str, rendering: str = "good") -> Recording:
    return Recording.from_file(FIXTURES / line / f"{rendering}.flac")


def said(line: str, rendering: str = "good") -> Reference:
    """What a rendering says, and when, as its speaker's own TextGrid has it."""
    return Reference.from_textgrid((FIXTURES / line / f"{rendering}.TextGrid").read_bytes())


def spliced(line: str, before: int, other: str) -> tuple[Recording, float, float]:
    """A line with the words of another put before one of its own; where they lie, in seconds."""
    own, donor = recording(line), recording(other)
    rate = own.samples.size / own.duration
    taken = said(other).words
    at = said(line).words[before].start
    first, last = taken[0].start, taken[-1].end
    assert at is not None
    assert first is not None
    assert last is not None
    cut = round(at * rate)
    samples = np.concatenate(
        [
            own.samples[:cut],
            donor.samples[round(first * rate) : round(last * rate)],
            own.samples[cut:],
        ]
    )
    return Recording.from_samples(samples, round(rate)), at, at + last - first


def codes(result: AnalysisResult) -> list[str]:
    return [item.code for item in result.feedback]


@pytest.mark.parametrize(
    ("line", "rendering"),
    [
        (line, file.stem)
        for line in LINES
        for file in sorted((FIXTURES / line).glob("*.flac"))
        if file.with_suffix(".TextGrid").exists()
    ],
)
def test_nothing_is_heard_beside_a_line_that_was_said_as_it_stands(
    line: str, rendering: str
) -> None:
    result = score(recording(line, rendering), said(line))
    assert result.insertions == []
    assert not {"inserted", "inserted_after"} & set(codes(result))


@pytest.mark.parametrize(
    ("line", "before", "other"),
    [("lantern", 3, "harbor"), ("harbor", 4, "winter"), ("stranger", 2, "lantern")],
)
def test_words_of_another_line_are_found_where_they_were_said(
    line: str, before: int, other: str
) -> None:
    sound, start, end = spliced(line, before, other)
    result = score(sound, said(line))
    (found,) = result.insertions
    assert found.start == pytest.approx(start, abs=NEAR_S)
    assert found.end == pytest.approx(end, abs=NEAR_THE_END_S)
    assert found.before_word_index == before
    (item,) = [item for item in result.feedback if item.code == "inserted"]
    assert item.word_index == before
    assert (item.start, item.end) == (found.start, found.end)


def test_words_after_the_last_have_no_word_behind_them() -> None:
    sound = recording("lantern")
    more = recording("harbor")
    result = score(
        Recording.from_samples(np.concatenate([sound.samples, more.samples]), 16_000),
        said("lantern"),
    )
    assert result.insertions[-1].before_word_index is None
    assert codes(result)[-1] == "inserted_after"
    assert len(codes(result)) <= 5


def test_no_word_of_the_line_is_called_omitted_for_what_stands_beside_it() -> None:
    sound, _, _ = spliced("lantern", 3, "harbor")
    found = score(sound, said("lantern"))
    assert "omitted" not in {word.status for word in found.words}
    assert found.scores.completeness == 100.0


def test_silence_and_another_sentence_have_no_insertions() -> None:
    line = said("lantern")
    for name in ("silence", "wrong_sentence"):
        assert score(Recording.from_file(FIXTURES / f"{name}.flac"), line).insertions == []
