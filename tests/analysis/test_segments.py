"""Alignments as arrays: pooling windows, membership, durations."""

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from analysis.aligned import BORDER_SHIFT_S, AlignedPhone, AlignedWord
from analysis.segments import ALIGNER_LAG_S, PARTS, net_frames, segments


def words(*spans: Sequence[tuple[float, float]]) -> list[AlignedWord]:
    """One word for each list of (start, end)."""
    return [
        AlignedWord(
            index,
            "x",
            own[0][0],
            own[-1][1],
            tuple(AlignedPhone("AE", a + BORDER_SHIFT_S, b + BORDER_SHIFT_S) for a, b in own),
        )
        for index, own in enumerate(spans)
    ]


ROWS = segments(words([(0.1, 0.2), (0.2, 0.5)], [(0.8, 0.9)]))


def test_each_third_is_a_mean() -> None:
    pool = ROWS.pool(60)
    assert pool.shape == (PARTS * 3, 60)
    assert pool.sum(axis=1) == pytest.approx(np.ones(PARTS * 3), abs=1e-5)
    assert (pool >= 0).all()


def test_a_third_lies_in_its_third() -> None:
    frames = np.arange(60) * 0.02
    middle = ROWS.pool(60) @ frames
    expected = [0.2 + 0.3 * (part + 0.5) / PARTS + ALIGNER_LAG_S for part in range(PARTS)]
    assert middle[PARTS : 2 * PARTS] == pytest.approx(expected, abs=0.011)


def test_a_phone_past_the_last_frame_takes_the_last_frame() -> None:
    pool = segments(words([(5.0, 5.1)])).pool(10)
    assert (pool[:, -1] == 1.0).all()


def test_the_weights_of_a_long_line_stand_in_memory_once() -> None:
    edges = np.linspace(0.0, 40.0, 1001)
    rows = segments(words(list(pairwise(edges.tolist()))))
    tracemalloc.start()
    try:
        pool = rows.pool(2000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pool.shape == (3000, 2000)
    assert peak < 1.2 * pool.nbytes


def test_a_line_has_the_weights_of_its_phones_one_by_one() -> None:
    edges = np.random.default_rng(0).uniform(0.0, 21.0, 701)
    edges.sort()
    spans = [(a, b + 0.001) for a, b in pairwise(edges.tolist())]
    whole = segments(words(spans)).pool(1000)
    for at in (0, 84, 85, 86, 255, 256, 699):
        np.testing.assert_array_equal(
            whole[PARTS * at : PARTS * (at + 1)], segments(words([spans[at]])).pool(1000)
        )


def test_each_word_is_said_by_its_own_phones() -> None:
    assert ROWS.pronunciations() == [["AE", "AE"], ["AE"]]


def test_phones_belong_to_their_words() -> None:
    assert ROWS.members().tolist() == [[1, 1, 0], [0, 0, 1]]


def test_words_that_were_not_placed_leave_no_row() -> None:
    placed = words([(0.1, 0.2)], [(0.3, 0.4)], [(0.5, 0.6)])
    assert segments([placed[0], placed[2]]).members().tolist() == [[1, 0], [0, 1]]


def test_pauses_and_word_borders_are_columns() -> None:
    assert ROWS.extras[:, 2].tolist() == pytest.approx([0.0, 0.0, 0.3], abs=1e-6)
    assert ROWS.extras[:, 3].tolist() == pytest.approx([0.0, 0.3, 0.0], abs=1e-6)
    assert ROWS.extras[:, 4].tolist() == [1, 0, 1]
    assert ROWS.extras[:, 5].tolist() == [0, 1, 1]


@pytest.mark.parametrize(("mel", "net"), [(1, 1), (2, 1), (3, 2), (100, 50), (101, 51)])
def test_the_network_halves_the_frame_rate(mel: int, net: int) -> None:
    assert net_frames(mel) == net
