"""`version` and `schema`: what this is, and what it accepts and sends."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

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
    from worker.schemas import schema_of

    sys.stdout.write(json.dumps(schema_of(document.value), indent=2, ensure_ascii=False) + "\n")
