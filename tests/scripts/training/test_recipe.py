"""A recipe is changed by name, and a wrong name or value is told."""

import pytest

from scripts.training.recipe import Recipe

RECIPE = Recipe(epochs=20)


def test_numbers_of_the_recipe_and_of_its_augmentation_are_changed_by_name() -> None:
    changed = RECIPE.with_changes(["line_weight=2.5", "change.warp=0", "change.masks=3"])
    assert changed.line_weight == 2.5
    assert (changed.change.warp, changed.change.masks) == (0.0, 3)
    assert changed.epochs == RECIPE.epochs
    assert changed.change.masked_bands == RECIPE.change.masked_bands


def test_the_recipe_itself_is_left_as_it_was() -> None:
    RECIPE.with_changes(["epochs=1", "change.warp=0"])
    assert (RECIPE.epochs, RECIPE.change.warp) == (20, 0.08)


def test_what_is_kept_of_one_recipe_is_not_taken_for_another() -> None:
    keys = {RECIPE.with_changes([one]).key for one in ("epochs=20", "dropout=0.1", "change.warp=0")}
    assert len(keys) == 3
    assert RECIPE.key in keys


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("wrap=0", "'wrap=0' names no number.*epochs.*line_weight"),
        ("change.epochs=3", "'change.epochs=3' names no number.*masks.*warp"),
        ("change=3", "names no number"),
        ("epochs=2.5", "'2.5' is no int"),
        ("change.warp=", "'' is no float"),
    ],
)
def test_what_cannot_be_changed_is_named(change: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RECIPE.with_changes([change])
