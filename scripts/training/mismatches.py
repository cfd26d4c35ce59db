"""Real speech with a text that it does not bear: words left out, and other sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from analysis.phones import PHONE_INDEX, normalise_phones

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.corpus import Example

Kind = Literal["extra_word", "cut_word", "other_text"]
SEED: Final = 20260102
EXTRA_WORDS: Final = 300
CUT_WORDS: Final = 300
OTHER_TEXTS: Final = 300
# A shorter stretch of sound is hardly a word.
_SHORTEST_CUT_S: Final = 0.12
_MEL_FRAMES_A_SECOND: Final = 100


@dataclass(frozen=True, eq=False)
class Mismatch:
    """A recording's features beside a text that it does not bear.

    `absent` is the word that was not said; −1 for another text.
    """

    kind: Kind
    speaker: str
    mel: NDArray[np.float32]
    phones: NDArray[np.int64]
    words: NDArray[np.int64]
    absent: int


def make_mismatches(examples: Sequence[Example]) -> list[Mismatch]:
    """Make the mismatches; the same ones for the same corpus.

    A word that was not said is either put into the text, which leaves the sound as it was, or
    cut out of the sound, which leaves a seam; each has what the other lacks.
    """
    rng = np.random.default_rng(SEED)

    def drawn() -> Example:
        return examples[int(rng.integers(len(examples)))]

    made = []
    for _ in range(EXTRA_WORDS):
        example, donor = drawn(), drawn()
        text = _text(example)
        at = int(rng.integers(len(text) + 1))
        word = _text(donor)[int(rng.integers(len(donor.line.words)))]
        made.append(_mismatch("extra_word", example, [*text[:at], word, *text[at:]], absent=at))
    while len(made) < EXTRA_WORDS + CUT_WORDS:
        example = drawn()
        at = int(rng.integers(len(example.line.words)))
        own = example.spans[example.words == at]
        if len(example.line.words) > 2 and own[-1, 1] - own[0, 0] >= _SHORTEST_CUT_S:
            cut = slice(*(int(t * _MEL_FRAMES_A_SECOND) for t in (own[0, 0], own[-1, 1])))
            made.append(_mismatch("cut_word", example, _text(example), absent=at, cut=cut))
    for _ in range(OTHER_TEXTS):
        example = drawn()
        made.append(_mismatch("other_text", example, _text(_alike(example, examples, rng))))
    return made


def _alike(example: Example, examples: Sequence[Example], rng: np.random.Generator) -> Example:
    """Draw another line of like length: a text of another length gives itself away."""
    while True:
        other = examples[int(rng.integers(len(examples)))]
        share = len(other.phones) / len(example.phones)
        if other.line.text != example.line.text and 0.7 < share < 1.4:
            return other


def _text(example: Example) -> list[tuple[str, ...]]:
    return [normalise_phones(word) or () for word in example.line.phones]


def _mismatch(
    kind: Kind,
    example: Example,
    text: Sequence[tuple[str, ...]],
    *,
    absent: int = -1,
    cut: slice | None = None,
) -> Mismatch:
    mel = example.mels[0].astype(np.float32)
    return Mismatch(
        kind=kind,
        speaker=example.line.speaker,
        mel=mel if cut is None else np.delete(mel, cut, axis=0),
        phones=np.array([PHONE_INDEX[phone] for word in text for phone in word], np.int64),
        words=np.repeat(np.arange(len(text)), [len(word) for word in text]),
        absent=absent,
    )
