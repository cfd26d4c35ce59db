"""Phone scores once more, in the light of the whole line: boosted trees on what was heard.

The network scores a phone from its own stretch of sound and its neighbours; how the experts mark
it also goes with the word, the line and the speaker that it stands in, and with the phone that
it is. Trees are fitted on lines of speakers whom the network that heard them had never met, so
that they also learn how far its scores can be trusted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.line_features import LINE_SCORES
from analysis.network import TOP_SCORE
from analysis.phones import PHONES
from analysis.trees import Trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.evidence import LineEvidence
    from analysis.line_features import DurationNorms
    from analysis.nativeness import Nativeness
    from analysis.network import Judgement
    from analysis.segments import Segments

REFINEMENT_PATH: Final = Path(__file__).parent / "data" / "refinement.npz"

# Columns of which more, with all others the same, never lowers a score.
HELPING: Final = (
    # Scores of the network, 0–2: of the phone, its word, its word's phones, the line's, the
    # phones beside it, and the line as a whole.
    "phone", "word", "word_worst", "word_mean", "line_mean", "line_low", "before", "after",
    *(f"line_{name}" for name in LINE_SCORES),
    # Log posteriors: of the phone, over the best other phone, its least, greatest, first and last
    # third, and the means of the line and the word.
    "own", "lead", "own_least", "own_most", "own_first", "own_last",
    "line_own", "line_lead", "word_own",
    # How much likelihood the line loses without the word, by phone and in all.
    "presence_per_phone", "presence", "native_presence_per_phone", "native_presence",
    # How well the line's path fits beside any phones at all.
    "path_fit",
    # How native: of the phone, its word, the line, and the line's less native phones.
    "native", "word_native", "line_native", "line_native_low",
)  # fmt: skip
# As `Segments.extras` has them.
_PLACED: Final = (
    "log_duration", "log_duration_in_line", "pause_before", "pause_after", "begins_word",
    "ends_word", "log_word_phones", "log_rate",
)  # fmt: skip
NEUTRAL: Final = (
    *_PLACED, "silence", "uncertainty", "duration_oddness", "line_duration_oddness", "level",
    "phones", "words",
)  # fmt: skip
# What experts give this phone, the same where that other phone is the likeliest beside it, and
# what they give the phones before and after it.
USUAL: Final = ("usual", "usual_beside", "usual_before", "usual_after")
NAMES: Final = (*HELPING, *NEUTRAL, *USUAL)
_LOW: Final = 0.1


@dataclass(frozen=True, eq=False)
class Usual:
    """What experts gave in training.

    Attributes
    ----------
    phone : (40,) mean mark of each phone, 0–2; the last stands for the edge of a line.
    beside : (39, 39) mean mark of a phone where another is the likeliest of the others.
    """

    phone: NDArray[np.float64]
    beside: NDArray[np.float64]

    def columns(
        self, phones: NDArray[np.int64], evidence: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (P, `USUAL`) for phones and their mean log posteriors (P, 40)."""
        edge = len(PHONES)
        return np.stack(
            [
                self.phone[phones],
                self.beside[phones, rivals(evidence, phones)],
                self.phone[np.append(edge, phones[:-1])],
                self.phone[np.append(phones[1:], edge)],
            ],
            axis=1,
        )


@dataclass(frozen=True, eq=False)
class Refinement:
    """The fitted trees and the tables that their columns are made with."""

    trees: Trees
    usual: Usual
    provenance: dict[str, Any]

    def refine(
        self,
        rows: Segments,
        judgement: Judgement,
        evidence: LineEvidence,
        native: Nativeness,
        *,
        mel: NDArray[np.float32],
        norms: DurationNorms,
    ) -> NDArray[np.float64]:
        """Return (P,) the phones' scores, 0–2; see `phone_table` for the parameters."""
        table = phone_table(rows, judgement, evidence, native, mel=mel, norms=norms)
        usual = self.usual.columns(rows.phones, evidence.phones)
        return np.clip(self.trees.predict(np.c_[table, usual]), 0.0, TOP_SCORE)


def phone_table(
    rows: Segments,
    judgement: Judgement,
    evidence: LineEvidence,
    native: Nativeness,
    *,
    mel: NDArray[np.float32],
    norms: DurationNorms,
) -> NDArray[np.float64]:
    """Return (P, `HELPING` and `NEUTRAL`): each phone in the light of its line.

    Parameters
    ----------
    rows : the aligned phones.
    judgement : the network's scores of them.
    evidence : the network's posteriors, by phone and along the line's best path.
    native : how native the phones are.
    mel : (frames, 80) normalised log-mel energies.
    norms : usual durations.
    """
    word = rows.word_rows()
    sizes = np.bincount(word)
    count = len(rows.phones)
    scores = judgement.phones.astype(np.float64)
    own = evidence.own
    said, said_natively = evidence.path.presence, evidence.native_path.presence
    others = evidence.phones[np.arange(count), rivals(evidence.phones, rows.phones)]
    thirds = evidence.thirds[np.arange(count), :, rows.phones]
    logs = np.log(np.maximum(rows.spans[:, 1] - rows.spans[:, 0], 0.01)).astype(np.float64)
    odd = norms.oddness(rows.phones, logs)

    def of_line(value: float) -> NDArray[np.float64]:
        return np.full(count, value)

    columns = {
        "phone": scores,
        "word": judgement.words.astype(np.float64)[word],
        "word_worst": rows.word_worst(scores)[word],
        "word_mean": rows.word_means(scores)[word],
        "line_mean": of_line(scores.mean()),
        "line_low": of_line(float(np.quantile(scores, _LOW))),
        "before": np.append(scores.mean(), scores[:-1]),
        "after": np.append(scores[1:], scores.mean()),
        **{
            f"line_{name}": of_line(float(score))
            for name, score in zip(LINE_SCORES, judgement.line, strict=True)
        },
        "own": own,
        "lead": own - others,
        "own_least": thirds.min(axis=1),
        "own_most": thirds.max(axis=1),
        "own_first": thirds[:, 0],
        "own_last": thirds[:, -1],
        "line_own": of_line(own.mean()),
        "line_lead": of_line(float(np.minimum(own - others, 0.0).mean())),
        "word_own": rows.word_means(own)[word],
        "presence_per_phone": (said / sizes)[word],
        "presence": said[word],
        "path_fit": of_line(evidence.path.fit),
        "native_presence_per_phone": (said_natively / sizes)[word],
        "native_presence": said_natively[word],
        "native": native.phones,
        "word_native": rows.word_means(native.phones)[word],
        "line_native": of_line(native.line),
        "line_native_low": of_line(native.low),
        "silence": evidence.phones[:, len(PHONES)],
        "uncertainty": -(np.exp(evidence.phones) * evidence.phones).sum(axis=1),
        **dict(zip(_PLACED, rows.extras.T.astype(np.float64), strict=True)),
        "duration_oddness": odd,
        "line_duration_oddness": of_line(odd.mean()),
        "level": _levels(rows, mel),
        "phones": of_line(count),
        "words": of_line(len(sizes)),
    }
    return np.stack([columns[name] for name in (*HELPING, *NEUTRAL)], axis=1)


def refined_words(
    rows: Segments, phones: NDArray[np.float64], words: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (placed words,) scores, 0–2: a third each for three views of a word.

    Parameters
    ----------
    phones : (P,) refined scores, of which the word's mean and its worst count.
    words : (placed words,) the network's own.
    """
    return (words + rows.word_means(phones) + rows.word_worst(phones)) / 3.0


def rivals(evidence: NDArray[np.float64], phones: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (P,) the likeliest phone beside the one that should be there."""
    others = evidence[:, : len(PHONES)].copy()
    others[np.arange(len(phones)), phones] = -np.inf
    rival: NDArray[np.int64] = others.argmax(axis=1)
    return rival


def _levels(rows: Segments, mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each phone's mean log-mel level."""
    total = np.append(0.0, np.cumsum(mel.mean(axis=1, dtype=np.float64)))
    start, past = rows.frames(len(mel))
    levels: NDArray[np.float64] = (total[past] - total[start]) / (past - start)
    return levels


@cache
def load_refinement(path: Path = REFINEMENT_PATH) -> Refinement:
    """Read the fitted trees; they are part of the package and must be there."""
    with np.load(path, allow_pickle=False) as stored:
        names = tuple(stored["names"].tolist())
        if names != NAMES:
            raise ValueError(
                f"{path.name} names columns that this version does not make: {names}. "
                "Run scripts/calibrate.py."
            )
        return Refinement(
            Trees(
                stored["features"].astype(np.int64),
                stored["thresholds"].astype(np.float64),
                stored["leaves"].astype(np.float64),
                float(stored["base"]),
            ),
            Usual(stored["usual_phone"], stored["usual_beside"]),
            json.loads(str(stored["provenance"])),
        )
