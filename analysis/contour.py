"""F0 over time: the pitch contour of a recording or of a reference."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from analysis.errors import ReferenceFormatError

MAX_PITCH_BYTES: Final = 2 * 2**20
"""120 s at one entry each 10 ms, indented by a pretty printer, is about 0.9 MB."""
MAX_TIME_S: Final = 1e6
"""Film time fits many times over; beyond it, float spacing and units are in doubt."""
MIN_F0_HZ: Final = 20.0
MAX_F0_HZ: Final = 4000.0
"""Wider than any voice, so that a tracker's octave errors pass and a wrong unit does not."""
GAP_STEPS: Final = 1.5
"""Neighbours further apart than this many steps have an unvoiced gap between them."""


@dataclass(frozen=True, eq=False)
class PitchContour:
    """F0 at ascending times.

    Attributes
    ----------
    times : float64 (n,)
        Seconds, strictly ascending.
    hz : float64 (n,)
        F0 in Hz; NaN where unvoiced.
    step_s : float
        The median distance between neighbouring times, in seconds; 0 for fewer than two points.
    """

    times: NDArray[np.float64]
    hz: NDArray[np.float64]
    step_s: float

    @classmethod
    def from_points(cls, times: NDArray[np.float64], hz: NDArray[np.float64]) -> PitchContour:
        """Make a contour of arrays that are known to be good; the step is found from the times."""
        step = float(np.median(np.diff(times))) if times.size > 1 else 0.0
        return cls(times=times, hz=hz, step_s=step)

    @classmethod
    def from_json(cls, data: bytes) -> PitchContour:
        """Read ``[{"time": seconds, "hz": number or null}, …]``, at any step.

        ``null`` and 0 (Praat's own mark) mean unvoiced; other keys are ignored.

        Raises
        ------
        ReferenceFormatError
            Code ``pitch_invalid``; the message names the entry.
        """
        if len(data) > MAX_PITCH_BYTES:
            raise _invalid(
                f"has {len(data):,} bytes; the limit is {MAX_PITCH_BYTES:,}: "
                "give one clip's contour, not a whole film's"
            )
        try:
            entries = orjson.loads(data.removeprefix(codecs.BOM_UTF8))
        except orjson.JSONDecodeError as error:
            raise _invalid(f"is not JSON: {error}") from None
        if not isinstance(entries, list):
            raise _invalid(f"must be a list of entries, not {_kind(entries)}")
        if not entries:
            raise _invalid("has no entries: leave it out when there is no contour")
        times = np.empty(len(entries))
        hz = np.empty(len(entries))
        for index, entry in enumerate(entries):
            times[index], hz[index] = _read_entry(index, entry)
        for index, (before, after) in enumerate(pairwise(times.tolist()), start=1):
            if not after > before:
                raise _invalid(
                    f"entry {index}: time {after:g} does not come after {before:g} of the entry "
                    "before it: write entries in order of time, each time once"
                )
        return cls.from_points(times, hz)

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """True where there is an F0, shape (n,)."""
        return ~np.isnan(self.hz)

    def shifted(self, offset_s: float) -> PitchContour:
        """Return the same contour `offset_s` seconds later."""
        return PitchContour(self.times + offset_s, self.hz, self.step_s)

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return F0 at other times, in Hz, by linear interpolation between voiced neighbours.

        NaN wherever a neighbour is unvoiced or missing: nothing is invented across a gap of more
        than 1.5 steps, nor outside the contour.

        Parameters
        ----------
        times : float64 (m,)
            Seconds.

        Returns
        -------
        float64 (m,)
        """
        if self.times.size < 2:
            return np.full(times.shape, np.nan)
        right = np.clip(np.searchsorted(self.times, times), 1, self.times.size - 1)
        left = right - 1
        gap = self.times[right] - self.times[left]
        share = (times - self.times[left]) / gap
        # An exact hit needs one neighbour only: the other may be unvoiced.
        value = np.where(
            share == 0.0,
            self.hz[left],
            np.where(
                share == 1.0,
                self.hz[right],
                np.where(
                    gap <= GAP_STEPS * self.step_s,
                    self.hz[left] + share * (self.hz[right] - self.hz[left]),
                    np.nan,
                ),
            ),
        )
        return np.where((times < self.times[0]) | (times > self.times[-1]), np.nan, value)


def _read_entry(index: int, entry: Any) -> tuple[float, float]:
    if not isinstance(entry, dict):
        raise _invalid(f"entry {index} must be an object with time and hz, not {_kind(entry)}")
    for key in ("time", "hz"):
        if key not in entry:
            raise _invalid(f'entry {index} has no "{key}"')
    time, hz = entry["time"], entry["hz"]
    if isinstance(time, bool) or not isinstance(time, int | float):
        raise _invalid(f"entry {index}: time must be seconds as a number, not {_kind(time)}")
    if not abs(time) <= MAX_TIME_S:
        raise _invalid(f"entry {index}: time {time:g} is not within ±{MAX_TIME_S:,.0f} s")
    if hz is None or (hz == 0 and not isinstance(hz, bool)):
        return float(time), float("nan")
    if isinstance(hz, bool) or not isinstance(hz, int | float):
        raise _invalid(f"entry {index}: hz must be a number or null, not {_kind(hz)}")
    if not MIN_F0_HZ <= hz <= MAX_F0_HZ:
        raise _invalid(
            f"entry {index}: hz {hz:g} is not a voice's F0 ({MIN_F0_HZ:g}–{MAX_F0_HZ:g} Hz); "
            "unvoiced is null"
        )
    return float(time), float(hz)


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names[type(value)]


def _invalid(what: str) -> ReferenceFormatError:
    return ReferenceFormatError("pitch_invalid", f"pitch.json {what}.")
