"""The scripted job type, and the audio analysis with a script in the place of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.integration.scripted_jobs import nothing, play
from worker.audio_analysis import AudioAnalysis
from worker.contract import AnalysisJob
from worker.handlers import Analysed, Refused, register
from worker.settings import Settings


class Light(AudioAnalysis):
    """Reads the message and fetches as the real one does; then does what `text` says."""

    def request(self, job: AnalysisJob, inputs: Mapping[str, bytes], settings: Settings) -> Any:
        return job.text or ""

    @property
    def analyse(self) -> Callable[[Any], Analysed | Refused]:
        return play

    @property
    def warm_up(self) -> Callable[[], None]:
        return nothing


register(Light())
