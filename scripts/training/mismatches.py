"""Real speech with a text that it does not bear: words left out, and other sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from analysis.audio import Recording
from scripts.training.corpus import audio_path, phone_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.corpus import Example, Line

Kind = Literal["extra_word", "cut_word", "other_text"]
SEED: Final = 20260102
EXTRA_WORDS: Final = 300
CUT_WORDS: Final = 300
OTHER_TEXTS: Final = 300
# A shorter stretch of sound is hardly a word.
_SHORTEST_CUT_S: Final = 0.12
# Samples over which both sides of a cut run into each other: a click would give it away.
_SEAM: Final = 80


@dataclass(frozen=True, eq=False)
class Mismatch:
    """A recording beside a text that it does not bear.

    Attributes
    ----------
    line : whose recording it is.
    phones, words : (P,) of the text, as in `Example`.
    absent : the word of the text that was not said; None for another text.
    cut : what is cut out of the recording, seconds; None where it stays whole.
    """

    kind: Kind
    line: Line
    phones: NDArray[np.int64]
    words: NDArray[np.int64]
    absent: int | None = None
    cut: tuple[float, float] | None = None

    def recording(self, data: Path) -> Recording:
        """Return what is heard beside the text; `data` is the corpus."""
        whole = Recording.from_file(audio_path(data, self.line))
        if self.cut is None:
            return whole
        start, end = (int(at * whole.sample_rate) for at in self.cut)
        fade = np.linspace(0.0, 1.0, min(_SEAM, start, len(whole.samples) - end), dtype=np.float32)
        before, after = whole.samples[:start], whole.samples[end:]
        seam = before[start - len(fade) :] * (1 - fade) + after[: len(fade)] * fade
        joined = np.concatenate((before[: start - len(fade)], seam, after[len(fade) :]))
        return Recording.from_samples(joined, whole.sample_rate)


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
        text = example.line.phones
        at = int(rng.integers(len(text) + 1))
        word = donor.line.phones[int(rng.integers(len(donor.line.words)))]
        made.append(_mismatch("extra_word", example, [*text[:at], word, *text[at:]], absent=at))
    while len(made) < EXTRA_WORDS + CUT_WORDS:
        example = drawn()
        at = int(rng.integers(len(example.line.words)))
        own = example.spans[example.words == at]
        cut = float(own[0, 0]), float(own[-1, 1])
        if len(example.line.words) > 2 and cut[1] - cut[0] >= _SHORTEST_CUT_S:
            made.append(_mismatch("cut_word", example, example.line.phones, absent=at, cut=cut))
    for _ in range(OTHER_TEXTS):
        example = drawn()
        other = _alike(example, examples, rng)
        made.append(_mismatch("other_text", example, other.line.phones))
    return made


def _alike(example: Example, examples: Sequence[Example], rng: np.random.Generator) -> Example:
    """Draw another line of like length: a text of another length gives itself away."""
    while True:
        other = examples[int(rng.integers(len(examples)))]
        share = len(other.phones) / len(example.phones)
        if other.line.text != example.line.text and 0.7 < share < 1.4:
            return other


def _mismatch(
    kind: Kind,
    example: Example,
    text: Sequence[Sequence[str]],
    *,
    absent: int | None = None,
    cut: tuple[float, float] | None = None,
) -> Mismatch:
    phones, words = phone_rows(text)
    return Mismatch(
        kind=kind,
        line=example.line,
        phones=phones,
        words=words,
        absent=absent,
        cut=cut,
    )
