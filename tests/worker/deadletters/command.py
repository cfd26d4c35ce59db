"""`analysis-worker dlq`, as a person gives it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from typer.testing import CliRunner, Result

from worker.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dlq", *arguments])


def listed(*arguments: str) -> list[dict[str, Any]]:
    result = run("list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def jobs(fields: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(item["job_id"] for item in fields)
