"""The machine and the versions that figures were measured with."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

LIBRARIES: Final = (
    "numpy", "onnxruntime", "praat-parselmouth", "soundfile", "librosa", "aiobotocore", "httpx",
    "aiohttp",
)  # fmt: skip
_CPU_INFO: Final = Path("/proc/cpuinfo")
_GB: Final = 2**30


@dataclass(frozen=True)
class Machine:
    """What a figure depends on beside the code."""

    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    libraries: dict[str, str]
    date: str

    @classmethod
    def here(cls) -> Self:
        """Look at the machine that this runs on."""
        return cls(
            cpu=_cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GB, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            libraries={name: version(name) for name in LIBRARIES},
            date=f"{datetime.now(UTC):%Y-%m-%d}",
        )

    def sentence(self) -> str:
        """One line that says it all."""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return (
            f"{self.date}, {self.cores} cores of {self.cpu}, {self.memory_gb:g} GB, {self.system}, "
            f"Python {self.python}; {libraries}"
        )


def _cpu_model() -> str:
    if _CPU_INFO.exists():
        for row in _CPU_INFO.read_text().splitlines():
            name, _, value = row.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
