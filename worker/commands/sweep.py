"""`sweep`: the repairs that a schedule does."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands import options
from worker.commands.aws import sentence
from worker.commands.errors import EXIT_FAILED, EXIT_USAGE, fail, load_settings

if TYPE_CHECKING:
    from worker.locations import S3Location

AgeOption = options.Age | None


def sweep(
    *,
    undelivered_older_than: Annotated[
        AgeOption,
        typer.Option(
            metavar="AGE",
            parser=options.Age.parse,
            help="Stored results to send again.",
            show_default="1h",
        ),
    ] = None,
    results_older_than: Annotated[
        AgeOption,
        typer.Option(metavar="AGE", parser=options.Age.parse, help="Results to delete."),
    ] = None,
    uploads: Annotated[
        str | None,
        typer.Option(metavar="s3://BUCKET/PREFIX", help="Where recordings to delete lie."),
    ] = None,
    uploads_older_than: Annotated[
        AgeOption,
        typer.Option(metavar="AGE", parser=options.Age.parse, help="Recordings to delete."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Dead letters to look at in each queue.")
    ] = 10_000,
    as_json: options.AsJson = False,
) -> None:
    """Answer dead letters that SQS moved itself, send undelivered results, delete old objects.

    Safe to run twice and side by side. Exit code 1 if AWS refused something; what a consumer
    would not take now is left for the next sweep.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from worker import logs
    from worker.settings import SettingsError
    from worker.sweep import DEFAULT_UNDELIVERED_S, SweepOptions
    from worker.sweep import sweep as run_sweep

    settings = load_settings()
    logs.configure(settings, stream=sys.stderr)
    if (uploads is None) != (uploads_older_than is None):
        fail("--uploads and --uploads-older-than go together.", code=EXIT_USAGE)
    asked = SweepOptions(
        undelivered_older_than_s=(
            undelivered_older_than.seconds if undelivered_older_than else DEFAULT_UNDELIVERED_S
        ),
        results_older_than_s=results_older_than.seconds if results_older_than else None,
        uploads=_folder(uploads) if uploads else None,
        uploads_older_than_s=uploads_older_than.seconds if uploads_older_than else None,
        limit=limit,
    )
    try:
        report = asyncio.run(run_sweep(settings, asked))
    except SettingsError as error:
        fail(str(error), code=EXIT_USAGE)
    except (ClientError, BotoCoreError, OSError) as error:
        fail(sentence(error))
    numbers = report.as_dict()
    if as_json:
        sys.stdout.write(json.dumps(numbers) + "\n")
    else:
        sys.stdout.write(", ".join(f"{count} {name}" for name, count in numbers.items()) + "\n")
    if report.errors:
        raise typer.Exit(EXIT_FAILED)


def _folder(text: str) -> S3Location:
    """A bucket and a prefix; never a whole bucket."""
    from worker.locations import LocationError, S3Location

    try:
        found = S3Location.parse(text)
    except LocationError as error:
        fail(f"--uploads: {error}", code=EXIT_USAGE)
    return found
