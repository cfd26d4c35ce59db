"""The phone network at run time: one ONNX session, one thread, nothing kept between calls."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.phones import PHONES
from analysis.segments import EXTRAS, Segments, net_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

NETWORK_PATH: Final = Path(__file__).parent / "data" / "phone_scorer.onnx"
NO_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
SILENCE: Final = len(PHONES)
# The experts' scale of a phone, which the network speaks.
TOP_SCORE: Final = 2.0


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the network says of a line.

    Attributes
    ----------
    posteriors : (frames, 40) float32, p(phone | frame) each 20 ms; the last column is silence.
    phones : (P,) float32, each phone's score on the experts' scale, 0–2 and a little beyond.
    words : (W,) float32, the same for each word, the experts' 0–10 brought to 0–2.
    line : (4,) float32, likewise: accuracy, fluency, prosodic, total.
    """

    posteriors: NDArray[np.float32]
    phones: NDArray[np.float32]
    words: NDArray[np.float32]
    line: NDArray[np.float32]


class PhoneNetwork:
    """The trained network; `judge` is a pure function of its arguments."""

    def __init__(self, path: Path = NETWORK_PATH) -> None:
        # Read when the library loads: without it ONNX Runtime starts a thread that sends usage
        # events to its makers, and writes an identifier of the machine.
        os.environ[NO_TELEMETRY] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread: the sum of a product is then always taken in the same order, and an
        # analysis process has one core.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.provenance: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    @property
    def name(self) -> str:
        """Return what `engine` calls this network."""
        return f"network {self.provenance.get('version', 'unknown')}"

    def judge(self, mel: NDArray[np.float32], segments: Segments) -> Judgement:
        """Judge each phone of `segments` on the log-mel frames (T, 80) of `log_mel`."""
        even = np.pad(mel, ((0, len(mel) % 2), (0, 0)))
        posteriors, *scores = self._session.run(
            ["posteriors", "phone_scores", "word_scores", "line_scores"],
            {
                "mel": even,
                "phones": segments.phones,
                "pool": segments.pool(net_frames(len(mel))),
                "extras": segments.extras,
                "members": segments.members(),
            },
        )
        return Judgement(posteriors, *(one.mean(axis=0) for one in scores))

    def listen(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the posteriors alone, for a line whose phones have no place yet."""
        nowhere = Segments(
            phones=np.zeros(1, np.int64),
            spans=np.array([[0.0, 0.1]], np.float32),
            words=np.zeros(1, np.int64),
            extras=np.zeros((1, EXTRAS), np.float32),
        )
        return self.judge(mel, nowhere).posteriors


@cache
def load_network() -> PhoneNetwork | None:
    """Return the shipped network, or None when its file is absent: GOP then scores alone."""
    return PhoneNetwork() if NETWORK_PATH.is_file() else None
