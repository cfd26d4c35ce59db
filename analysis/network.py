"""The phone network at run time: it listens once, and scores phones wherever they are placed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.heard import Heard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.segments import Segments

NETWORK_FOLDER: Final = Path(__file__).parent / "data"
LISTENER_FILE: Final = "phone_listener.onnx"
SCORER_FILE: Final = "phone_scorer.onnx"
NO_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
# The experts' scale of a phone, which the network speaks.
TOP_SCORE: Final = 2.0


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the network says of a line, on the experts' scale of a phone: 0–2 and a little beyond.

    Attributes
    ----------
    phones : (P,) float32, each phone's score.
    words : (W,) float32, each word's, the experts' 0–10 brought to 0–2.
    line : (4,) float32, likewise: accuracy, fluency, prosodic, total.
    """

    phones: NDArray[np.float32]
    words: NDArray[np.float32]
    line: NDArray[np.float32]


class PhoneNetwork:
    """The trained network; `listen` and `judge` are pure functions of their arguments."""

    def __init__(self, folder: Path = NETWORK_FOLDER) -> None:
        self._listener = _session(folder / LISTENER_FILE)
        self._scorer = _session(folder / SCORER_FILE)
        self.provenance: dict[str, str] = self._scorer.get_modelmeta().custom_metadata_map

    @property
    def name(self) -> str:
        """Return what `engine` calls this network."""
        return f"network {self.provenance.get('version', 'unknown')}"

    def listen(self, mel: NDArray[np.float32]) -> Heard:
        """Listen to the log-mel frames (T, 80) of `log_mel`."""
        even = np.pad(mel, ((0, len(mel) % 2), (0, 0)))
        frames, posteriors = self._listener.run(["heard", "posteriors"], {"mel": even})
        return Heard(frames, posteriors)

    def judge(self, heard: Heard, segments: Segments) -> Judgement:
        """Judge each phone of `segments` on what was heard."""
        scores = self._scorer.run(
            ["phone_scores", "word_scores", "line_scores"],
            {
                "heard": heard.frames,
                "phones": segments.phones,
                "pool": segments.pool(len(heard.posteriors)),
                "extras": segments.extras,
                "members": segments.members(),
            },
        )
        return Judgement(*(one.mean(axis=0) for one in scores))


def _session(path: Path) -> Any:
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
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@cache
def load_network() -> PhoneNetwork | None:
    """Return the shipped network, or None when a file of it is absent: GOP then scores alone."""
    files = (LISTENER_FILE, SCORER_FILE)
    return PhoneNetwork() if all((NETWORK_FOLDER / name).is_file() for name in files) else None
