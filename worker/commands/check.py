"""`check`: configuration and reach, every check one line."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from worker.commands import options
from worker.commands.errors import EXIT_FAILED


def check(
    *,
    skip_model: Annotated[
        bool, typer.Option("--skip-model", help="Do not start an analysis process.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check settings, credentials, queues, buckets, secret and models; exit 1 if any failed."""
    from worker import logs
    from worker.checks import run_checks

    logs.setup("ERROR", "console", stream=sys.stderr)

    async def run() -> bool:
        all_well = True
        async for finding in run_checks(with_model=not skip_model):
            all_well = all_well and finding.state != "fail"
            line = json.dumps(asdict(finding)) if as_json else finding.line()
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        return all_well

    if not asyncio.run(run()):
        raise typer.Exit(EXIT_FAILED)
