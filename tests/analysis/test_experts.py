"""The core against experts, on a few lines of the corpus where it lies beside the repository."""

from pathlib import Path

import numpy as np
import pytest

from analysis import Recording, Reference, score
from scripts.evaluate import collect, hear_line
from scripts.training.agreement import Pairs, agreement, pearson
from scripts.training.corpus import Line, audio_path, read_lines

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "so762-train"
# The shipped networks know these speakers: this guards the path from sound to score, and says
# nothing of how good it is. docs/scoring.md has figures of speakers who were held out.
LINES = 60

needs_corpus = pytest.mark.skipif(
    not (DATA / "labels.jsonl").is_file(), reason=f"{DATA.name} is not beside the repository"
)


@pytest.fixture(scope="module")
def some_lines() -> list[Line]:
    judged = [line for line in read_lines(DATA) if line.scores is not None]
    return [judged[i] for i in np.linspace(0, len(judged) - 1, LINES).astype(int)]


@needs_corpus
def test_phones_words_and_lines_agree_with_the_experts(some_lines: list[Line]) -> None:
    pairs = collect(hear_line(DATA, line, "accurate") for line in some_lines)
    found = {level: pearson(pair.ours, pair.theirs) for level, pair in pairs.items()}
    assert found["phone"] > 0.5
    assert found["word"] > 0.5
    assert found["accuracy"] > 0.6
    assert found["fluency"] > 0.6
    assert found["total"] > 0.6


@needs_corpus
def test_a_line_read_by_another_speaker_still_gets_the_wrong_text_when_it_is_another_line(
    some_lines: list[Line],
) -> None:
    flagged = 0
    for line, other in zip(some_lines[:8], some_lines[8:16], strict=True):
        heard = Recording.from_file(audio_path(DATA, line))
        result = score(heard, Reference.from_text(other.text, phones=other.phones))
        flagged += any(item.code == "wrong_text" for item in result.feedback)
        assert result.scores.overall is not None
        assert result.scores.overall < 55
    assert flagged >= 6


def test_agreement_is_that_of_pearson_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(300)
    ours = 0.6 * truth + 0.8 * rng.standard_normal(300)
    speakers = [str(i // 10) for i in range(300)]
    found = agreement(Pairs.of(zip(ours, truth, speakers, [20] * 300, strict=True)))
    assert found.pcc == pytest.approx(np.corrcoef(ours, truth)[0, 1])
    assert found.low < found.pcc < found.high
    assert 0.4 < found.low < found.high < 0.8


def test_speakers_who_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    level = np.repeat(rng.standard_normal(12), 50)
    ours, theirs = level + 0.1 * rng.standard_normal((2, 600))
    alone = agreement(Pairs.of(zip(ours, theirs, map(str, range(600)), [9] * 600, strict=True)))
    owner = [str(i // 50) for i in range(600)]
    grouped = agreement(Pairs.of(zip(ours, theirs, owner, [9] * 600, strict=True)))
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
