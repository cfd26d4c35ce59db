"""What an analysis cannot do without, called directly: nothing checked, joined, told or kept.

Decoding, log-mel features, the network once to hear and three times to judge, the best path at
three powers of the prior and the weight of each word on it, how native each phone sounds, and
Praat's pitch in two passes. All that a kernel needs and does not compute itself (pronunciations,
the voice's range, where the phones lie) is known beforehand.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import parselmouth
import soundfile

from analysis.alignment import Aligner
from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.calibration import load_calibration
from analysis.consensus import FURTHER_POWERS
from analysis.features import log_mel
from analysis.nativeness import nativeness
from analysis.network import load_network
from analysis.pitch import (
    FIRST_PASS_CEILING_HZ,
    FIRST_PASS_FLOOR_HZ,
    FIRST_PASS_STEP_S,
    STEP_S,
    voice_range,
)
from analysis.reference import Reference
from analysis.segments import segments
from analysis.trellis import PRIOR_POWER, best_path, log_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.network import PhoneNetwork
    from analysis.segments import Segments
    from analysis.trellis import Path
    from scripts.bench.lines import Line


class NoNetworkError(RuntimeError):
    """The phone network's files are absent: what is left without them is not measured."""


@dataclass(frozen=True, eq=False)
class BareKernels:
    """One line's kernels with everything they need; `run` is what is timed."""

    audio: bytes
    network: PhoneNetwork
    log_priors: NDArray[np.float64]
    pronunciations: list[tuple[str, ...]]
    rows: Segments
    floor_hz: float
    ceiling_hz: float

    @classmethod
    def of(cls, line: Line) -> Self:
        """Find out what `run` needs to be given for a line."""
        network = load_network()
        if network is None:
            raise NoNetworkError("analysis/data has no phone network")
        recording = Recording.from_bytes(line.audio)
        alignment = Aligner().align(recording, Reference.from_textgrid(line.textgrid))
        sound = parselmouth.Sound(recording.samples.astype(np.float64), SAMPLE_RATE_HZ)
        first = _first_pass(sound)
        floor, ceiling = voice_range(first[first > 0])
        return cls(
            audio=line.audio,
            network=network,
            log_priors=load_calibration().log_priors,
            pronunciations=[tuple(p.phone for p in word.phones) for word in alignment.placed],
            rows=segments(alignment.placed),
            floor_hz=floor,
            ceiling_hz=ceiling,
        )

    def run(self) -> Path | None:
        """Run every kernel once, in the order in which `analysis.score` does; the line's path.

        None if the recording has fewer frames than the line has phones.
        """
        samples, _ = soundfile.read(io.BytesIO(self.audio), dtype="float32")
        mel = log_mel(samples)
        heard = self.network.listen(mel)
        paths = [
            best_path(log_evidence(heard.posteriors, self.log_priors, power), self.pronunciations)
            for power in (PRIOR_POWER, *FURTHER_POWERS["accurate"])
        ]
        sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE_HZ)
        _first_pass(sound)
        sound.to_pitch_ac(
            time_step=STEP_S, pitch_floor=self.floor_hz, pitch_ceiling=self.ceiling_hz
        )
        nativeness(samples, self.rows)
        for _ in paths:
            self.network.judge(heard, self.rows)
        path = paths[0]
        if path is not None:  # which words were said, and what beside them
            _ = path.presence, path.extra_spans
        return path


def _first_pass(sound: Any) -> NDArray[np.float64]:
    pitch = sound.to_pitch_ac(
        time_step=FIRST_PASS_STEP_S,
        pitch_floor=FIRST_PASS_FLOOR_HZ,
        pitch_ceiling=FIRST_PASS_CEILING_HZ,
    )
    found: NDArray[np.float64] = pitch.selected_array["frequency"]
    return found
