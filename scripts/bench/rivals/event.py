"""The event that a rival posts: the same fields as ours, and so the same length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime


def event(job: Mapping[str, str]) -> bytes:
    """Write the body for a job that is done."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data: dict[str, object] = {
        "schema_version": "1.0",
        "job_id": job["job_id"],
        "video_id": None,
        "status": "completed",
        "progress": 100,
        "message": "Analysis completed.",
        "attempt": 1,
        "metadata": {},
        "result": {"scores": {}},
        "result_location": None,
    }
    written = {"type": "analysis.completed", "timestamp": now, "data": data}
    return json.dumps(written, separators=(",", ":")).encode()
