"""Lines of any length: the committed test recordings joined end to end, with their references."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import soundfile
from numpy.typing import NDArray

from analysis.textgrid_tiers import Interval, Tier, read_tiers

FIXTURES: Final = Path(__file__).resolve().parent.parent.parent / "tests" / "fixtures"
NAMES: Final = ("lantern", "harbor", "stranger", "winter")
SAMPLE_RATE_HZ: Final = 16_000
TAIL_S: Final = 0.1
"""Kept after the last word: nobody stops a recording within a phone."""


@dataclass(frozen=True)
class Line:
    """A learner's recording, and the actor's line that it imitates, as a job's files.

    `audio` and `actor_audio` are FLAC of 16 kHz; `textgrid` and `pitch` are on the actor's clock.
    """

    seconds: float
    words: int
    audio: bytes
    textgrid: bytes
    pitch: bytes
    actor_audio: bytes


@dataclass(frozen=True)
class _Take:
    """One rendering of one line: its sound, and its tiers, in seconds."""

    samples: NDArray[np.float32]
    tiers: Mapping[str, Sequence[Interval]]

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    def until(self, words: int) -> _Take:
        """Cut behind the first so many words."""
        end = min(self.tiers["words"][words - 1].end + TAIL_S, self.seconds)
        kept = {
            name: [one for one in intervals if one.end <= end - TAIL_S / 2]
            for name, intervals in self.tiers.items()
        }
        return _Take(self.samples[: round(end * SAMPLE_RATE_HZ)], kept)


def join(seconds: float, *, rendering: str = "good") -> Line:
    """Join renderings until `seconds` are full; the last is cut behind its last whole word.

    The recording is a word shorter than `seconds` at most; the reference says the same words at
    the actor's own pace.
    """
    said: list[_Take] = []
    acted: list[_Take] = []
    left = seconds
    for name in cycle(NAMES):
        take, actor = _take(name, rendering), _take(name, "actor")
        if take.seconds > left:
            whole = sum(word.end + TAIL_S <= left for word in take.tiers["words"])
            if whole:
                said.append(take.until(whole))
                acted.append(actor.until(whole))
            break
        said.append(take)
        acted.append(actor)
        left -= take.seconds
    length = sum(take.seconds for take in acted)
    return Line(
        seconds=sum(take.seconds for take in said),
        words=sum(len(take.tiers["words"]) for take in said),
        audio=_flac(said),
        textgrid=_textgrid(_joined_tiers(acted), length),
        pitch=orjson.dumps(list(_joined_pitch(acted))),
        actor_audio=_flac(acted),
    )


def _take(name: str, rendering: str) -> _Take:
    folder = FIXTURES / name
    samples, rate = soundfile.read(folder / f"{rendering}.flac", dtype="float32")
    if rate != SAMPLE_RATE_HZ:
        raise ValueError(f"{folder.name}/{rendering}.flac is at {rate} Hz, not {SAMPLE_RATE_HZ}")
    _, tiers = read_tiers((folder / f"{rendering}.TextGrid").read_bytes(), keep=lambda _: True)
    return _Take(samples, {tier.name: tier.intervals for tier in tiers})


def _flac(takes: Sequence[_Take]) -> bytes:
    file = io.BytesIO()
    joined = np.concatenate([take.samples for take in takes])
    soundfile.write(file, joined, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _joined_tiers(takes: Sequence[_Take]) -> list[Tier]:
    length = sum(take.seconds for take in takes)
    tiers = []
    for name in takes[0].tiers:
        intervals: list[Interval] = []
        for offset, take in _with_offsets(takes):
            intervals += [
                Interval(one.number, one.start + offset, one.end + offset, one.mark)
                for one in take.tiers[name]
                if one.mark
            ]
        tiers.append(Tier(name, 0.0, length, tuple(intervals)))
    return tiers


def _joined_pitch(takes: Sequence[_Take]) -> Iterator[dict[str, float | None]]:
    for (offset, take), name in zip(_with_offsets(takes), cycle(NAMES), strict=False):
        for entry in orjson.loads((FIXTURES / name / "pitch.json").read_bytes()):
            if entry["time"] < take.seconds:
                yield {"time": round(entry["time"] + offset, 4), "hz": entry["hz"]}


def _with_offsets(takes: Sequence[_Take]) -> Iterator[tuple[float, _Take]]:
    offset = 0.0
    for take in takes:
        yield offset, take
        offset += take.seconds


def _textgrid(tiers: Sequence[Tier], length: float) -> bytes:
    """Write Praat's short text format, silences as unlabelled intervals, as an aligner does."""
    rows = ['File type = "ooTextFile short"', '"TextGrid"', "", "0", f"{length:.5f}", "<exists>"]
    rows.append(str(len(tiers)))
    for tier in tiers:
        filled = list(_filled(tier.intervals, length))
        rows += ['"IntervalTier"', f'"{tier.name}"', "0", f"{length:.5f}", str(len(filled))]
        for start, end, mark in filled:
            rows += [f"{start:.5f}", f"{end:.5f}", f'"{mark}"']
    return ("\n".join(rows) + "\n").encode()


def _filled(intervals: Sequence[Interval], length: float) -> Iterator[tuple[float, float, str]]:
    before = 0.0
    for one in intervals:
        if one.start > before:
            yield before, one.start, ""
        yield max(one.start, before), one.end, one.mark
        before = one.end
    if before < length:
        yield before, length, ""
