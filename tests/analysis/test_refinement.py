"""Phone scores in the light of the line: each column moves them its own way, or not at all."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.phones import PHONES
from analysis.refinement import (
    HELPING,
    NAMES,
    NEUTRAL,
    REFINEMENT_PATH,
    USUAL,
    Usual,
    load_refinement,
    refined_words,
)
from analysis.segments import EXTRAS, Segments

REFINEMENT = load_refinement()
BETTER = [*HELPING, *USUAL]


def lines_of_numbers(count: int) -> NDArray[np.float64]:
    """Rows over the whole range in which the trees ask, and beyond it."""
    rng = np.random.default_rng(5)
    asked = REFINEMENT.trees.thresholds
    rows = np.empty((count, len(NAMES)))
    for column in range(len(NAMES)):
        mine = asked[(REFINEMENT.trees.features == column) & np.isfinite(asked)]
        low, high = (mine.min() - 1.0, mine.max() + 1.0) if len(mine) else (-1.0, 1.0)
        rows[:, column] = rng.uniform(low, high, count)
    return rows


@pytest.mark.parametrize("name", BETTER)
def test_more_of_what_helps_never_lowers_a_score(name: str) -> None:
    rows = lines_of_numbers(400)
    better = rows.copy()
    better[:, NAMES.index(name)] += np.random.default_rng(6).exponential(1.0, len(rows))
    gain = REFINEMENT.trees.predict(better) - REFINEMENT.trees.predict(rows)
    assert gain.min() >= -1e-9


def test_what_the_network_hears_of_the_phone_itself_moves_its_score() -> None:
    rows = lines_of_numbers(400)
    better = rows.copy()
    better[:, [NAMES.index(name) for name in ("phone", "own", "lead", "word")]] += 2.0
    gain = REFINEMENT.trees.predict(better) - REFINEMENT.trees.predict(rows)
    assert gain.mean() > 0.1


def test_the_columns_have_names_of_their_own() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(HELPING) + len(NEUTRAL) + len(USUAL)


def test_the_file_says_where_its_numbers_come_from() -> None:
    assert "CC BY 4.0" in REFINEMENT.provenance["data"]
    assert REFINEMENT.provenance["made"]


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    with np.load(REFINEMENT_PATH) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays["names"] = arrays["names"][::-1]
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"other\.npz names columns"):
        load_refinement(path)


def test_usual_marks_are_those_of_the_phone_its_rival_and_its_neighbours() -> None:
    usual = Usual(phone=np.arange(40.0), beside=np.arange(39.0)[:, None] + np.arange(39.0) / 100.0)
    evidence = np.full((2, 40), -5.0)
    evidence[:, [3, 7]] = -1.0  # in both rows phones 3 and 7 fit best
    evidence[:, 39] = 0.0  # silence is no rival
    columns = usual.columns(np.array([3, 7]), evidence)
    assert columns == pytest.approx(np.array([[3.0, 3.07, 39.0, 7.0], [7.0, 7.03, 3.0, 39.0]]))


def test_a_word_is_its_own_score_its_phones_and_its_worst_phone_alike() -> None:
    rows = Segments(
        phones=np.zeros(3, np.int64),
        spans=np.array([[0, 1], [1, 2], [2, 3]], np.float32),
        words=np.array([0, 0, 4]),
        extras=np.zeros((3, EXTRAS), np.float32),
    )
    found = refined_words(rows, np.array([1.0, 2.0, 0.5]), np.array([1.5, 0.2]))
    assert found == pytest.approx([(1.5 + 1.5 + 1.0) / 3, (0.2 + 0.5 + 0.5) / 3])


def test_every_phone_has_a_usual_mark_on_the_experts_scale() -> None:
    usual = REFINEMENT.usual
    assert usual.phone.shape == (len(PHONES) + 1,)
    assert usual.beside.shape == (len(PHONES), len(PHONES))
    for marks in (usual.phone, usual.beside):
        assert marks.min() >= 0.0
        assert marks.max() <= 2.0
