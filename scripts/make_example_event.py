"""Make docs/schemas/examples/event.completed.json: the event of a recording that is really scored.

    python -m scripts.make_example_event

The recording is the committed one in which a word of the line is replaced, the job the one beside
the event. Its time is that of the example; all else is as the worker writes it.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import orjson

from worker.audio_analysis import AudioRequest, analyse, warm_up
from worker.contract import Addressee, AnalysisJob, EventType, build_event
from worker.handlers import Analysed
from worker.pipeline import FINAL

REPOSITORY: Final = Path(__file__).resolve().parents[1]
EXAMPLES: Final = REPOSITORY / "docs" / "schemas" / "examples"
EXAMPLE: Final = EXAMPLES / "event.completed.json"
LINE: Final = REPOSITORY / "tests" / "fixtures" / "lantern"

TIMESTAMP: Final = "2026-03-01T09:30:04.902Z"
MAX_BYTES: Final = 2**20
MAX_S: Final = 60.0
_PLAIN_ARRAY: Final = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")


def completed_event() -> dict[str, Any]:
    """Score the recording and write its event, as the worker does."""
    job = AnalysisJob.parse((EXAMPLES / "job.timed-reference.json").read_bytes())
    warm_up()
    analysed = analyse(
        AudioRequest(
            audio=(LINE / "replaced.flac").read_bytes(),
            textgrid=(LINE / "actor.TextGrid").read_bytes(),
            pitch=(LINE / "pitch.json").read_bytes(),
            reference_audio=None,
            text=None,
            profile="accurate",
            max_audio_bytes=MAX_BYTES,
            max_audio_s=MAX_S,
        )
    )
    if not isinstance(analysed, Analysed):
        raise TypeError(f"the recording was refused: {analysed.message}")
    event = build_event(
        EventType.COMPLETED,
        Addressee.of(job),
        attempt=1,
        progress=FINAL,
        message="Analysis completed.",
        result=analysed.result,
        result_location=f"s3://results/results/{job.job_id}.json",
    )
    document: dict[str, Any] = orjson.loads(event.body)
    document["timestamp"] = TIMESTAMP
    return document


def written(document: dict[str, Any]) -> str:
    """The document for people: one field a line, but numbers that belong together on one."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    text = _PLAIN_ARRAY.sub(lambda array: f"[{' '.join(array[1].split())}]", text)
    return text + "\n"


if __name__ == "__main__":
    EXAMPLE.write_text(written(completed_event()), encoding="utf-8")
    print(f"wrote {EXAMPLE.relative_to(REPOSITORY)}")
