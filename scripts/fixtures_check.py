"""Whether the committed fixtures are what the script makes, within what machines may differ by.

Floating point differs in the last bits between processors and an encoder between its versions,
so bytes are not compared: samples, times and frames are.
"""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

_SAMPLE_TOLERANCE: Final = 0.002  # of full scale
_TIME_TOLERANCE_S: Final = 0.005
_PITCH_TOLERANCE_HZ: Final = 2.0
_PITCH_FRAMES_APART: Final = 0.02  # the share of frames that may tip over the edge of voicing
_LOSSY_DURATION_TOLERANCE_S: Final = 0.12


def differences(made: dict[str, bytes], folder: Path) -> Iterator[str]:
    """Name each file of `made` that the folder lacks or has with another content."""
    for name, data in made.items():
        path = folder / name
        if not path.is_file():
            yield name
            continue
        differs = next(check for ending, check in _COMPARISONS.items() if name.endswith(ending))
        if differs(data, path.read_bytes()):
            yield name


def strangers(made: dict[str, bytes], folder: Path) -> Iterator[str]:
    """Name each file of a format made here that lies in the folder and is not made any more."""
    suffixes = {Path(name).suffix for name in made} - {".json"}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in suffixes and name not in made:
            yield name


def _flac_differs(made: bytes, kept: bytes) -> bool:
    a, b = _samples(made), _samples(kept)
    return len(a) != len(b) or float(np.max(np.abs(a - b))) > _SAMPLE_TOLERANCE


def _samples(data: bytes) -> NDArray[np.float32]:
    samples, _ = soundfile.read(BytesIO(data), dtype="float32")
    return np.asarray(samples)


def _lossy_differs(made: bytes, kept: bytes) -> bool:
    apart_s = _lossy_duration_s(made) - _lossy_duration_s(kept)
    return abs(apart_s) > _LOSSY_DURATION_TOLERANCE_S


def _lossy_duration_s(data: bytes) -> float:
    with av.open(BytesIO(data), "r") as media:
        return float(sum(frame.samples / frame.sample_rate for frame in media.decode(audio=0)))


def _textgrid_differs(made: bytes, kept: bytes) -> bool:
    def values(data: bytes) -> list[float | str]:
        fields = (line.rpartition("= ")[2] for line in data.decode().splitlines())
        return [float(field) if field[:1].isdigit() else field for field in fields]

    return _apart(values(made), values(kept), _TIME_TOLERANCE_S)


def _pitch_differs(made: bytes, kept: bytes) -> bool:
    a, b = json.loads(made), json.loads(kept)
    if [frame["time"] for frame in a] != [frame["time"] for frame in b]:
        return True
    apart = sum(_apart(x["hz"], y["hz"], _PITCH_TOLERANCE_HZ) for x, y in zip(a, b, strict=True))
    return apart > max(1, len(a) * _PITCH_FRAMES_APART)


def _manifest_differs(made: bytes, kept: bytes) -> bool:
    return _apart(json.loads(made), json.loads(kept), _TIME_TOLERANCE_S)


def _apart(made: Any, kept: Any, tolerance: float) -> bool:
    """Whether two JSON values differ in more than numbers within the tolerance."""
    match made, kept:
        case bool(), _:
            return made is not kept
        case ((int() | float()), (int() | float())):
            return abs(made - kept) > tolerance
        case list(), list():
            return len(made) != len(kept) or any(
                _apart(a, b, tolerance) for a, b in zip(made, kept, strict=True)
            )
        case dict(), dict():
            return made.keys() != kept.keys() or any(
                _apart(made[key], kept[key], tolerance) for key in made
            )
    return bool(made != kept)


# The first ending that fits decides.
_COMPARISONS: Final[dict[str, Callable[[bytes, bytes], bool]]] = {
    ".flac": _flac_differs,
    ".webm": _lossy_differs,
    ".m4a": _lossy_differs,
    ".TextGrid": _textgrid_differs,
    "manifest.json": _manifest_differs,
    ".json": _pitch_differs,
}
