"""What a training run is made of: every number of it that can be tried otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

# What stands before the name of a number of `Augmentation`.
OF_CHANGE: Final = "change."


@dataclass(frozen=True)
class Augmentation:
    """How far an example may be changed; zeros leave it as it is."""

    variants: float = 0.5  # share of examples heard in another variant
    warp: float = 0.08  # vocal tract length, largest relative change
    masked_bands: int = 8
    masked_frames: int = 10
    masks: int = 2
    # In this share of the examples, these shares of phones and words are asked for otherwise.
    mistaken: float = 0.5
    swapped_phones: float = 0.06
    swapped_words: float = 0.08


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of."""

    epochs: int
    peak_rate: float = 3e-3
    decay: float = 0.02
    score_weight: float = 5.0
    word_weight: float = 1.0
    line_weight: float = 1.0
    averaging: float = 0.995
    dropout: float = 0.15
    change: Augmentation = field(default_factory=Augmentation)

    @property
    def key(self) -> str:
        """Return a name that no other recipe has."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        return f"{self.epochs}-epochs-{digest.hexdigest()[:8]}"

    def with_changes(self, changes: Iterable[str]) -> Recipe:
        """Return the recipe with NAME=VALUE put into it, `change.NAME` for those of `change`.

        Raises
        ------
        ValueError
            There is no such name, or the value is no such number.
        """
        recipe = self
        for text in changes:
            name, _, value = text.partition("=")
            own = name.removeprefix(OF_CHANGE)
            if own == name:
                recipe = replace(recipe, **_number(recipe, text, own, value))
            else:
                change = replace(recipe.change, **_number(recipe.change, text, own, value))
                recipe = replace(recipe, change=change)
        return recipe


def _number(of: Any, text: str, name: str, value: str) -> dict[str, Any]:
    numbers = {one.name: getattr(of, one.name) for one in fields(of) if one.name != "change"}
    if name not in numbers:
        raise ValueError(f"{text!r} names no number. There are: {', '.join(sorted(numbers))}.")
    kind = type(numbers[name])
    try:
        return {name: kind(value)}
    except ValueError:
        raise ValueError(f"{text!r}: {value!r} is no {kind.__name__}.") from None
