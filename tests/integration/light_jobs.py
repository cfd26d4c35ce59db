"""The scripted job types, and one in the place of `audio_analysis`: a quick start."""

from __future__ import annotations

from tests.integration.scripted_jobs import Fetching
from worker.contract import DEFAULT_JOB_TYPE
from worker.handlers import register


class Light(Fetching):
    """Stands in for the speech analysis: fetches the recording, then does what `text` says."""

    job_type = DEFAULT_JOB_TYPE


register(Light())
