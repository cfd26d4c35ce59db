"""Lines joined of the test recordings: sound, TextGrid and pitch stay together."""

import io
from itertools import pairwise

import numpy as np
import orjson
import pytest
import soundfile
from numpy.typing import NDArray

from analysis import Recording, Reference, score
from analysis.textgrid_tiers import Interval, read_tiers
from scripts.bench.lines import FIXTURES, NAMES, SAMPLE_RATE_HZ, join


def samples_of(data: bytes) -> NDArray[np.float32]:
    samples: NDArray[np.float32]
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == SAMPLE_RATE_HZ
    return samples


def words_of(data: bytes) -> list[Interval]:
    _, tiers = read_tiers(data, keep=lambda name: name == "words")
    return [word for word in tiers[0].intervals if word.mark]


@pytest.mark.parametrize("seconds", [3.0, 10.0, 30.0, 60.0])
def test_a_line_is_as_long_as_asked_for_less_a_word_at_most(seconds: float) -> None:
    line = join(seconds)
    assert seconds - 1.5 <= line.seconds <= seconds
    assert len(samples_of(line.audio)) == round(line.seconds * SAMPLE_RATE_HZ)


def test_each_word_of_the_textgrid_lies_where_it_sounds() -> None:
    """Word by word, the joined sound at the joined times is the actor's own recording."""
    line = join(30.0)
    joined = samples_of(line.actor_audio)
    words = iter(words_of(line.textgrid))
    compared = 0
    for name in NAMES * 2:
        own = samples_of((FIXTURES / name / "actor.flac").read_bytes())
        for own_word in words_of((FIXTURES / name / "actor.TextGrid").read_bytes()):
            word = next(words, None)
            if word is None:
                break
            assert word.mark == own_word.mark
            first, own_first = (round(w.start * SAMPLE_RATE_HZ) for w in (word, own_word))
            size = round((own_word.end - own_word.start) * SAMPLE_RATE_HZ) - 2
            # Times are told to 10 µs, a sixth of a sample: one sample either way.
            assert any(
                np.array_equal(joined[first + shift : first + shift + size], own[own_first:][:size])
                for shift in (-1, 0, 1)
            )
            compared += 1
    assert compared == line.words


def test_the_pitch_ascends_and_ends_with_the_textgrid() -> None:
    line = join(30.0)
    times = [entry["time"] for entry in orjson.loads(line.pitch)]
    _, tiers = read_tiers(line.textgrid, keep=lambda name: name == "words")
    assert all(after > before for before, after in pairwise(times))
    assert tiers[0].end - 0.1 < times[-1] < tiers[0].end


def test_a_joined_line_scores_as_a_good_one() -> None:
    """Were the reference's words or times moved, the words would be omitted or late."""
    line = join(10.0)
    reference = Reference.from_textgrid(line.textgrid, pitch=line.pitch)
    result = score(Recording.from_bytes(line.audio), reference)
    assert len(result.words) == line.words
    assert result.scores.completeness == 100.0
    assert result.scores.timing is not None
    assert result.scores.timing > 85.0
