"""`run` and `process`: the worker itself, on a queue or on one job in a file."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.errors import EXIT_USAGE, fail, load_settings


def run(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when the queues are empty.")
    ] = False,
    allow_no_dlq: Annotated[
        bool,
        typer.Option(
            "--allow-no-dlq",
            help="Run on a queue with no redrive policy: permanent failures are logged and "
            "deleted.",
        ),
    ] = False,
) -> None:
    """Take jobs from the queue until SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_before_start)
    from worker import event_loop, logs, service
    from worker.settings import SettingsError

    settings = load_settings()
    logs.configure(settings)
    try:
        code = event_loop.run(
            service.run(settings, until_empty=until_empty, allow_no_dlq=allow_no_dlq)
        )
    except (SettingsError, OSError) as error:  # a secret that is none, a port that is taken
        fail(str(error), code=EXIT_USAGE)
    raise typer.Exit(code)


def process(
    job: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, metavar="JOB.json")
    ],
) -> None:
    """Score one job from a file, with no queue: for a replay or a look."""
    from worker import logs, replay

    settings = load_settings()
    logs.configure(settings, stream=sys.stderr)
    raise typer.Exit(asyncio.run(replay.process_file(settings, job)))


def _stop_before_start(number: int, _frame: object) -> None:
    """A stop while the program is still loading: nothing was received, so all is settled."""
    raise SystemExit(0)
