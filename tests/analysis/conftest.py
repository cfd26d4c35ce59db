"""What the analysis tests share: the synthetic lines, and voices made of plain harmonics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.reference import Reference
from analysis.result import AnalysisResult

FIXTURES = Path(__file__).parent.parent / "fixtures"


@dataclass
class Speech:
    """The lines of tests/fixtures; each is scored once a session."""

    folder: Path = FIXTURES
    _scored: dict[tuple[str, str, bool], AnalysisResult] = field(default_factory=dict)

    def path(self, line: str, name: str) -> Path:
        return self.folder / line / name

    def recording(self, line: str, rendering: str) -> Recording:
        return Recording.from_file(self.path(line, f"{rendering}.flac"))

    def reference(self, line: str, *, coarse: bool = False, audio: bool = False) -> Reference:
        pitch = self.path(line, "pitch_coarse.json" if coarse else "pitch.json")
        return Reference.from_textgrid(
            self.path(line, "actor.TextGrid").read_bytes(),
            pitch=pitch.read_bytes(),
            audio=self.path(line, "actor.flac").read_bytes() if audio else None,
        )

    def scored(self, line: str, rendering: str, *, coarse: bool = False) -> AnalysisResult:
        """The result of a rendering against the actor's."""
        from analysis.scoring import score

        key = (line, rendering, coarse)
        if key not in self._scored:
            self._scored[key] = score(
                self.recording(line, rendering), self.reference(line, coarse=coarse)
            )
        return self._scored[key]


@pytest.fixture(scope="session")
def speech() -> Speech:
    return Speech()


@pytest.fixture(scope="session")
def voice() -> Callable[[NDArray[np.float64]], Recording]:
    """Make a voice of ten harmonics from an F0 in Hz, one value a sample; NaN is silence."""

    def make(hz: NDArray[np.float64]) -> Recording:
        voiced = np.isfinite(hz)
        phase = 2.0 * np.pi * np.cumsum(np.where(voiced, hz, 0.0)) / SAMPLE_RATE_HZ
        samples = sum(np.sin(k * phase) / k for k in range(1, 11)) * voiced * 0.2
        return Recording.from_samples(np.asarray(samples, np.float32), SAMPLE_RATE_HZ)

    return make
