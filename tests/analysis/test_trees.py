"""Boosted trees: each row ends in the leaf that its answers lead to."""

import numpy as np
import pytest

from analysis.trees import Trees

# Column 0 at most 1? then column 1 at most 5, else column 1 at most 7.
ONE = Trees(
    features=np.array([[0, 1, 1]]),
    thresholds=np.array([[1.0, 5.0, 7.0]]),
    leaves=np.array([[10.0, 20.0, 30.0, 40.0]]),
    base=0.5,
)


@pytest.mark.parametrize(
    ("row", "leaf"),
    [
        ((0.0, 0.0), 10.0),
        ((1.0, 5.0), 10.0),
        ((1.0, 5.1), 20.0),
        ((1.1, 5.1), 30.0),
        ((1.1, 7.1), 40.0),
    ],
)
def test_a_row_goes_left_where_its_value_is_at_most_the_threshold(
    row: tuple[float, float], leaf: float
) -> None:
    assert ONE.predict(np.array([row])) == pytest.approx([leaf + 0.5])


def test_the_trees_of_an_ensemble_are_added() -> None:
    both = Trees(
        features=np.r_[ONE.features, [[1, 0, 0]]],
        thresholds=np.r_[ONE.thresholds, [[0.0, 0.0, 0.0]]],
        leaves=np.r_[ONE.leaves, [[1.0, 2.0, 3.0, 4.0]]],
        base=0.0,
    )
    assert both.predict(np.array([[0.0, 0.0], [2.0, 9.0]])) == pytest.approx([11.0, 44.0])


def test_no_rows_give_no_scores() -> None:
    assert ONE.predict(np.empty((0, 2))).shape == (0,)
