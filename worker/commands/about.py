"""`version` and `schema`: what this is, and what it accepts and sends."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer


class Document(StrEnum):
    """What `schema` can print."""

    JOB = "job"
    EVENT = "event"
    RESULT = "result"
    ERRORS = "errors"


def version() -> None:
    """Print the version."""
    from worker import __version__

    sys.stdout.write(f"analysis-worker {__version__}\n")


def schema(
    document: Annotated[
        Document, typer.Argument(help="job: the message; event: the webhook body.")
    ] = Document.JOB,
) -> None:
    """Print a JSON Schema: of the job message, the event or the result; or the error codes."""
    sys.stdout.write(json.dumps(_schema(document), indent=2, ensure_ascii=False) + "\n")


def _schema(document: Document) -> dict[str, Any]:
    if document is Document.RESULT:
        from analysis.result import AnalysisResult

        return AnalysisResult.model_json_schema()
    if document is Document.ERRORS:
        from worker.failures import CODES

        return {
            code.value: {
                "stage": info.stage.value,
                "policy": info.policy.value,
                "advice": info.advice,
            }
            for code, info in CODES.items()
        }
    from worker.contract import AnalysisJob, ResultEvent

    model = AnalysisJob if document is Document.JOB else ResultEvent
    return model.model_json_schema()
