"""The training corpus: labels, alignments and features, made once and kept in a cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.phones import PHONE_INDEX, normalise_phones
from scripts.training.processes import one_core_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL_FILES: Final = ("labels.jsonl", "labels-phones.jsonl")
UTTERANCE_LABELS: Final = ("accuracy", "fluency", "prosodic", "total")
# Each line is heard five times: as it is, slower, faster, in noise, and in noise and a room.
SPEEDS: Final = (1.0, 0.9, 1.1, 1.0, 1.0)
VARIANTS: Final = len(SPEEDS)
_SNR_RANGE_DB: Final = (8.0, 30.0)
CACHE_VERSION: Final = 6


@dataclass(frozen=True)
class Line:
    """One labelled line of the corpus, as its label file has it."""

    name: str
    speaker: str
    age: int
    text: str
    words: tuple[str, ...]
    phones: tuple[tuple[str, ...], ...]
    phone_scores: tuple[tuple[float, ...], ...]  # 0–2
    word_scores: tuple[float, ...] | None  # 0–10
    scores: dict[str, float] | None  # UTTERANCE_LABELS, 0–10


def read_lines(folder: Path) -> list[Line]:
    """Read all label files of a folder in the form of speechocean762, ordered by name."""
    lines = []
    for name in LABEL_FILES:
        path = folder / name
        if path.exists():
            with path.open(encoding="utf-8") as rows:
                lines += [_line(json.loads(row)) for row in rows]
    if not lines:
        raise SystemExit(f"{folder} holds neither {' nor '.join(LABEL_FILES)}.")
    return sorted(lines, key=lambda line: line.name)


def audio_path(folder: Path, line: Line) -> Path:
    """Return where the recording of a line lies."""
    return folder / "audio" / f"{line.name}.flac"


def phone_rows(words: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows in `PHONES` of a text's phones (P,), and the word of each (P,).

    Raises
    ------
    ValueError
        A word has no phones, or one that is no ARPAbet.
    """
    folded = [normalise_phones(word) for word in words]
    bad = [list(word) for word, own in zip(words, folded, strict=True) if not own]
    if bad:
        raise ValueError(f"{bad[0]} is no word in ARPAbet. Mend its line, or leave it out.")
    phones = np.array([PHONE_INDEX[phone] for own in folded for phone in own or ()], np.int64)
    return phones, np.repeat(np.arange(len(folded)), [len(own or ()) for own in folded])


def _line(row: dict[str, Any]) -> Line:
    words = row["words"]
    judged = all("accuracy" in word for word in words)
    return Line(
        name=row["id"],
        speaker=row["speaker"],
        age=int(row["age"]),
        text=row["text"],
        words=tuple(word["text"] for word in words),
        phones=tuple(tuple(word["phones"]) for word in words),
        phone_scores=tuple(tuple(map(float, word["phones-accuracy"])) for word in words),
        word_scores=tuple(float(word["accuracy"]) for word in words) if judged else None,
        scores={key: float(row[key]) for key in UTTERANCE_LABELS} if "total" in row else None,
    )


@dataclass(frozen=True, eq=False)
class Example:
    """A line as the network trains on it; `mels` holds one feature matrix for each variant."""

    line: Line
    mels: tuple[NDArray[np.float16], ...]
    phones: NDArray[np.int64]
    spans: NDArray[np.float32]
    words: NDArray[np.int64]
    gop: NDArray[np.float32]  # (P,) goodness of pronunciation at these places, nats
    targets: NDArray[np.float32]  # (P,), 0–2
    # Set by `scripts.training.pseudo`, both brought to 0–2.
    word_targets: NDArray[np.float32] | None = None
    line_targets: NDArray[np.float32] | None = None
    line_weight: float = 0.0


def load_examples(folder: Path, cache: Path, *, processes: int = 1) -> list[Example]:
    """Align and featurise every line, or read what an earlier run has kept in `cache`."""
    lines = read_lines(folder)
    cache.mkdir(parents=True, exist_ok=True)
    parts = [lines[start::8] for start in range(8)]
    paths = [cache / f"corpus-v{CACHE_VERSION}-{number}.npz" for number in range(len(parts))]
    missing = [
        (part, folder, path) for part, path in zip(parts, paths, strict=True) if not path.exists()
    ]
    if missing:
        with one_core_each(processes) as pool:
            for path in pool.map(_prepare, missing):
                print(f"prepared {path.name}", flush=True)
    by_name = {line.name: line for line in lines}
    examples = [example for path in paths for example in _read_part(path, by_name)]
    return sorted(examples, key=lambda example: example.line.name)


def _read_part(path: Path, by_name: dict[str, Line]) -> list[Example]:
    examples = []
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    mel_end = np.cumsum(arrays["mel_frames"])
    phone_end = np.cumsum(arrays["phone_counts"])
    for row, name in enumerate(arrays["names"]):
        line = by_name[str(name)]
        own = slice(phone_end[row] - arrays["phone_counts"][row], phone_end[row])
        mels = []
        for variant in range(VARIANTS):
            cell = row * VARIANTS + variant
            mels.append(arrays["mels"][mel_end[cell] - arrays["mel_frames"][cell] : mel_end[cell]])
        flat = [score for word in line.phone_scores for score in word]
        examples.append(
            Example(
                line=line,
                mels=tuple(mels),
                phones=arrays["phones"][own],
                spans=arrays["spans"][own],
                words=arrays["words"][own],
                gop=arrays["gop"][own],
                targets=np.array(flat, dtype=np.float32),
            )
        )
    return examples


def _prepare(task: tuple[list[Line], Path, Path]) -> Path:
    from analysis.audio import Recording
    from analysis.features import log_mel
    from scripts.training.judging import hear_natively

    lines, folder, path = task
    names, mels, mel_frames, phones, spans, words, gop, counts = ([] for _ in range(8))
    for line in lines:
        recording = Recording.from_file(audio_path(folder, line))
        placed = hear_natively(recording.samples, *phone_rows(line.phones))
        if placed is None:
            print(f"{line.name} is left out: it is shorter than its text", flush=True)
            continue
        rows, native = placed
        names.append(line.name)
        phones.append(rows.phones)
        spans.append(rows.spans)
        words.append(rows.words)
        gop.append(native.phones)
        counts.append(len(rows.phones))
        for heard in _variants(recording.samples, line.name):
            mel = log_mel(heard).astype(np.float16)
            mels.append(mel)
            mel_frames.append(len(mel))
    np.savez(
        path,
        names=np.array(names),
        mels=np.concatenate(mels),
        mel_frames=np.array(mel_frames),
        phones=np.concatenate(phones),
        spans=np.concatenate(spans),
        words=np.concatenate(words),
        gop=np.concatenate(gop).astype(np.float32),
        phone_counts=np.array(counts),
    )
    return path


def _variants(samples: NDArray[np.float32], name: str) -> list[NDArray[np.float32]]:
    import soxr

    rng = np.random.default_rng(int(name))
    heard = [samples]
    for number, speed in enumerate(SPEEDS[1:], start=1):
        changed = soxr.resample(samples, 16000 * speed, 16000) if speed != 1.0 else samples
        if number == 4:
            changed = _in_a_room(changed, rng)
        snr = rng.uniform(*_SNR_RANGE_DB) if number >= 3 else rng.uniform(20.0, 40.0)
        heard.append(in_noise(changed, snr, rng))
    return heard


def in_noise(
    samples: NDArray[np.float32], snr_db: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Add noise whose spectrum falls by 0 to 6 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    frequency = np.arange(len(spectrum)) + 20.0
    noise = np.fft.irfft(spectrum * frequency ** -rng.uniform(0.0, 1.0), n=len(samples))
    power = np.mean(samples**2) / 10.0 ** (snr_db / 10.0)
    scaled = noise * np.sqrt(power / max(float(np.mean(noise**2)), 1e-12))
    noisy: NDArray[np.float32] = (samples + scaled).astype(np.float32)
    return noisy


def _in_a_room(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Convolve with a decaying tail of 0.1–0.4 s reverberation time and tilt the spectrum."""
    from scipy.signal import fftconvolve

    decay_s = rng.uniform(0.1, 0.4)
    time = np.arange(int(decay_s * 16000)) / 16000
    tail = rng.standard_normal(len(time)) * 10.0 ** (-3.0 * time / decay_s)
    tail *= rng.uniform(0.02, 0.12)
    tail[0] = 1.0
    wet = fftconvolve(samples, tail)[: len(samples)]
    tilt = rng.uniform(-0.5, 0.3)
    tilted = np.append(wet[0], wet[1:] + tilt * wet[:-1])
    heard: NDArray[np.float32] = (tilted / max(1.0, float(np.abs(tilted).max()))).astype(np.float32)
    return heard
