"""Real speech with a text that it does not bear: words left out, and other sentences."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from scripts.training.corpus import Line, audio_path, read_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["extra_word", "cut_word", "other_text"]
SEED: Final = 20260102
EXTRA_WORDS: Final = 400
CUT_WORDS: Final = 300
OTHER_TEXTS: Final = 400
# Longer than this a word's audio can be cut out without leaving too little to call a word.
_SHORTEST_CUT_S: Final = 0.12


@dataclass(frozen=True, eq=False)
class Mismatch:
    """One made-up mismatch, aligned as the core would align it.

    `absent` is the word that was not said (−1 for another text), `cut` the samples taken out
    of the recording, and `phones`, `spans`, `words`, `likelihoods` the alignment.
    """

    kind: Kind
    name: str
    absent: int
    cut: tuple[int, int] | None
    phones: NDArray[np.int64]
    spans: NDArray[np.float32]
    words: NDArray[np.int64]
    likelihoods: NDArray[np.float32]


@dataclass(frozen=True)
class _Plan:
    kind: Kind
    line: Line
    words: tuple[str, ...]
    phones: tuple[tuple[str, ...], ...]
    absent: int


def make_mismatches(folder: Path, cache: Path, *, processes: int = 1) -> list[Mismatch]:
    """Make, align and keep the mismatches; the same ones for the same corpus."""
    path = cache / "mismatches.jsonl"
    if not path.exists():
        plans = _plans(read_lines(folder))
        with ProcessPoolExecutor(processes) as pool:
            made = list(pool.map(_align, [(folder, plan) for plan in plans], chunksize=16))
        rows = [json.dumps(row) for row in made if row is not None]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with path.open(encoding="utf-8") as stored:
        return [_mismatch(json.loads(row)) for row in stored]


def _plans(lines: list[Line]) -> list[_Plan]:
    rng = np.random.default_rng(SEED)
    plans = []
    for _ in range(EXTRA_WORDS):
        line, donor = (lines[int(rng.integers(len(lines)))] for _ in range(2))
        source = int(rng.integers(len(donor.words)))
        at = int(rng.integers(len(line.words) + 1))
        words = (*line.words[:at], donor.words[source], *line.words[at:])
        phones = (*line.phones[:at], donor.phones[source], *line.phones[at:])
        plans.append(_Plan("extra_word", line, words, phones, at))
    for _ in range(CUT_WORDS):
        line = lines[int(rng.integers(len(lines)))]
        if len(line.words) > 2:
            at = int(rng.integers(len(line.words)))
            plans.append(_Plan("cut_word", line, line.words, line.phones, at))
    for _ in range(OTHER_TEXTS):
        line = lines[int(rng.integers(len(lines)))]
        length = sum(map(len, line.phones))
        alike = [
            other
            for other in lines
            if other.text != line.text and 0.7 < sum(map(len, other.phones)) / length < 1.4
        ]
        other = alike[int(rng.integers(len(alike)))]
        plans.append(_Plan("other_text", line, other.words, other.phones, -1))
    return plans


def _align(task: tuple[Path, _Plan]) -> dict[str, Any] | None:
    from analysis.alignment import Aligner
    from analysis.audio import Recording
    from analysis.phones import normalise_phones
    from analysis.pronunciations import Pronunciation
    from analysis.segments import segments

    folder, plan = task
    recording = Recording.from_file(audio_path(folder, plan.line))
    known = [
        Pronunciation((phones,), "reference") if (phones := normalise_phones(word)) else None
        for word in plan.phones
    ]
    aligner = Aligner()
    cut = None
    if plan.kind == "cut_word":
        word = aligner.align_pronunciations(recording, plan.words, known).words[plan.absent]
        if word is None or word.end - word.start < _SHORTEST_CUT_S:
            return None
        cut = (int(word.start * 16000), int(word.end * 16000))
        recording = Recording.from_samples(without(recording.samples, cut), 16000)
    alignment = aligner.align_pronunciations(recording, plan.words, known)
    if not alignment.placed:
        return None
    rows = segments(alignment.placed)
    return {
        "kind": plan.kind,
        "name": plan.line.name,
        "absent": plan.absent,
        "cut": cut,
        "phones": rows.phones.tolist(),
        "spans": np.round(rows.spans.astype(float), 3).tolist(),
        "words": rows.words.tolist(),
        "likelihoods": [round(p.log_likelihood, 4) for w in alignment.placed for p in w.phones],
    }


def without(samples: NDArray[np.float32], cut: tuple[int, int]) -> NDArray[np.float32]:
    """Return the samples with a stretch taken out and the seam faded over 5 ms."""
    fade = np.linspace(1.0, 0.0, 80, dtype=np.float32)
    head, tail = samples[: cut[0]].copy(), samples[cut[1] :].copy()
    if len(head) > 80 and len(tail) > 80:
        head[-80:] *= fade
        tail[:80] *= fade[::-1]
    return np.concatenate((head, tail))


def _mismatch(row: dict[str, Any]) -> Mismatch:
    return Mismatch(
        kind=row["kind"],
        name=row["name"],
        absent=row["absent"],
        cut=tuple(row["cut"]) if row["cut"] else None,
        phones=np.array(row["phones"], np.int64),
        spans=np.array(row["spans"], np.float32),
        words=np.array(row["words"], np.int64),
        likelihoods=np.array(row["likelihoods"], np.float32),
    )
