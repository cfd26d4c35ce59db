"""What a reference is made of: a TextGrid of words and phones, and pitch.json."""

import io
import json
from typing import Final

import numpy as np
import parselmouth
from numpy.typing import NDArray

from scripts.fixtures_synthesis import SpokenWord

PITCH_FLOOR_HZ: Final = 60.0
PITCH_CEILING_HZ: Final = 500.0

# Below this a gap is a rounding of sample positions, not a pause worth an interval of its own.
_SHORTEST_PAUSE_S: Final = 0.001

Interval = tuple[float, float, str]


def textgrid(words: tuple[SpokenWord, ...], duration_s: float, *, offset_s: float = 0.0) -> bytes:
    """Write Praat's long TextGrid format: a `words` tier and a `phones` tier, UTF-8.

    Both tiers cover the whole clip, pauses as empty marks, as a forced aligner leaves them.
    `offset_s` moves every time, for a clip that keeps the time of the film it was cut from.
    """
    phones = [phone for word in words for phone in word.phones]
    tiers = {
        "words": [(word.start, word.end, word.text.lower()) for word in words],
        "phones": [(phone.start, phone.end, phone.phone) for phone in phones],
    }
    out = io.StringIO()
    out.write('File type = "ooTextFile"\nObject class = "TextGrid"\n\n')
    first, last = offset_s, offset_s + duration_s
    out.write(f"xmin = {first:.4f}\nxmax = {last:.4f}\ntiers? <exists>\nsize = {len(tiers)}\n")
    out.write("item []:\n")
    for number, (name, spoken) in enumerate(tiers.items(), start=1):
        intervals = _with_pauses(spoken, duration_s)
        out.write(f'    item [{number}]:\n        class = "IntervalTier"\n')
        out.write(
            f'        name = "{name}"\n        xmin = {first:.4f}\n        xmax = {last:.4f}\n'
        )
        out.write(f"        intervals: size = {len(intervals)}\n")
        for index, (start, end, mark) in enumerate(intervals, start=1):
            out.write(f"        intervals [{index}]:\n")
            out.write(f"            xmin = {start + offset_s:.4f}\n")
            out.write(f"            xmax = {end + offset_s:.4f}\n")
            out.write(f'            text = "{mark}"\n')
    return out.getvalue().encode()


def pitch_json(
    samples: NDArray[np.float32], sample_rate: int, step_s: float, *, offset_s: float = 0.0
) -> bytes:
    """Praat's F0 by autocorrelation, as `[{"time": s, "hz": number|null}]`, null where unvoiced."""
    sound = parselmouth.Sound(samples.astype(np.float64), sampling_frequency=sample_rate)
    pitch = sound.to_pitch_ac(
        time_step=step_s, pitch_floor=PITCH_FLOOR_HZ, pitch_ceiling=PITCH_CEILING_HZ
    )
    frames = [
        {"time": round(float(time) + offset_s, 4), "hz": round(float(hz), 2) if hz > 0 else None}
        for time, hz in zip(pitch.xs(), pitch.selected_array["frequency"], strict=True)
    ]
    lines = ",\n".join(json.dumps(frame) for frame in frames)
    return f"[\n{lines}\n]\n".encode()


def _with_pauses(spoken: list[Interval], duration_s: float) -> list[Interval]:
    intervals: list[Interval] = []
    reached = 0.0
    for start, end, mark in [*spoken, (duration_s, duration_s, "")]:
        if start - reached > _SHORTEST_PAUSE_S:
            intervals.append((reached, start, ""))
            reached = start
        if end > reached:
            intervals.append((reached, end, mark))
            reached = end
    return intervals
