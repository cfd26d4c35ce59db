"""Sound files of a plain tone, for tests that care about the file and not about speech."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile


def tone(seconds: float = 2.0, rate: int = 44_100, channels: int = 1) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 220 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    return np.column_stack([wave * (1 - 0.2 * n) for n in range(channels)])


def encoded(format_name: str, subtype: str, **options: Any) -> bytes:
    rate = options.get("rate", 44_100)
    file = io.BytesIO()
    soundfile.write(file, tone(**options), rate, format=format_name, subtype=subtype)
    return file.getvalue()
