"""`dlq`: look at dead letters, send them back to work, throw them away, take them out and in."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from worker.commands import options
from worker.commands.aws import with_clients
from worker.commands.deadletter_view import (
    ORDERS,
    Fields,
    fields_of,
    print_letter,
    print_list,
)
from worker.commands.errors import (
    EXIT_FAILED,
    EXIT_USAGE,
    CommandError,
    fail,
    load_settings,
)
from worker.commands.options import age_text, sieve_of
from worker.commands.terminal import progress

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from worker.aws import AwsClients
    from worker.deadletters import DeadLetter, Walk
    from worker.redrive import Tally

DEFAULT_LIMIT: Final = 1000

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, redrive, purge and more.")

Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command("list")
def list_letters(
    *,
    dlq: options.Queue = None,
    code: options.Codes = None,
    text: options.Text = None,
    older_than: options.OlderThan = None,
    newer_than: options.NewerThan = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Stop after so many; they are sorted among themselves.")
    ] = DEFAULT_LIMIT,
    sort: Annotated[str, typer.Option(help="age, code or receives.")] = "age",
    as_json: options.AsJson = False,
) -> None:
    """List dead letters; what was read is visible again afterwards."""
    if sort not in ORDERS:
        fail(f"--sort is one of {', '.join(ORDERS)}.", code=EXIT_USAGE)
    sieve = sieve_of(code, text, older_than, newer_than)

    async def work(clients: AwsClients) -> None:
        async with await _walk(clients.sqs, dlq) as walk:
            found: list[Fields] = []
            while len(found) < limit and (letters := await walk.batch()):
                found += [fields_of(x, walk.now) for x in letters if sieve.takes(x, walk.now)]
                walk.keep(letters)
        print_list(walk, sorted(found[:limit], key=ORDERS[sort]), as_json=as_json)

    with_clients(work)


@app.command()
def show(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Message id or job id.")],
    dlq: options.Queue = None,
    as_json: options.AsJson = False,
) -> None:
    """Show one dead letter whole: message, reason, and what to search the log for."""

    async def work(clients: AwsClients) -> None:
        sieve = sieve_of(None, None, None, None, [wanted])
        async with await _walk(clients.sqs, dlq) as walk:
            found = None
            while found is None and (letters := await walk.batch()):
                found = next((x for x in letters if sieve.takes(x, walk.now)), None)
                walk.keep(letters)
        if found is None:
            raise CommandError(f"No dead letter has the id {wanted!r} ({walk.seen} read).")
        print_letter(found, walk.now, as_json=as_json)

    with_clients(work)


@app.command()
def redrive(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Only these; else all.")
    ] = None,
    *,
    dlq: options.Queue = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME|URL", help="Another queue than the one it came from."),
    ] = None,
    code: options.Codes = None,
    text: options.Text = None,
    older_than: options.OlderThan = None,
    newer_than: options.NewerThan = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.1, help="At most so many a second.")
    ] = None,
    limit: Limit = None,
    dry_run: DryRun = False,
) -> None:
    """Send dead letters back to work: sent first, deleted after, so that none is ever lost."""
    from worker.redrive import Redrive

    sieve = sieve_of(code, text, older_than, newer_than, ids)
    verb = "would be redriven" if dry_run else "redriven"

    async def work(clients: AwsClients) -> Tally:
        async with await _walk(clients.sqs, dlq) as walk:
            with progress() as bar:
                task = bar.add_task("redriving", total=walk.total)
                moving = Redrive(
                    clients.sqs,
                    walk,
                    sieve,
                    destination=_destination(clients.sqs, to),
                    rate=rate,
                    limit=limit,
                    dry_run=dry_run,
                    report=lambda _: bar.update(task, completed=walk.seen),
                )
                try:
                    return await moving.run()
                except ExceptionGroup:
                    _say(moving.tally, verb)
                    raise

    _end(with_clients(work), verb)


@app.command()
def purge(
    *,
    dlq: options.Queue = None,
    older_than: options.OlderThan = None,
    everything: Annotated[bool, typer.Option("--all", help="Whatever its age.")] = False,
    code: options.Codes = None,
    text: options.Text = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Delete dead letters for good; asks first."""
    from worker.redrive import purge as purge_letters

    if older_than is None and not everything:
        fail("Say which: --older-than AGE, or --all.", code=EXIT_USAGE)
    sieve = sieve_of(code, text, older_than, None)

    async def work(clients: AwsClients) -> Tally:
        async with await _walk(clients.sqs, dlq) as walk:
            if not (yes or dry_run):
                await asyncio.to_thread(_ask, walk, older_than)
            with progress() as bar:
                task = bar.add_task("purging", total=walk.total)
                return await purge_letters(
                    walk,
                    sieve,
                    dry_run=dry_run,
                    report=lambda _: bar.update(task, completed=walk.seen),
                )

    _end(with_clients(work), "would be deleted" if dry_run else "deleted")


def _ask(walk: Walk, older_than: options.Age | None) -> None:
    if not sys.stdin.isatty():
        raise CommandError("Nobody to ask: pass --yes.", code=EXIT_USAGE)
    which = f"older than {age_text(older_than.seconds)} " if older_than else ""
    name = walk.url.rsplit("/", 1)[-1]
    sys.stderr.write(f"Delete messages {which}for good from {name} (about {walk.total})? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was deleted.")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="JSON lines; - for standard output.")] = Path("-"),
    *,
    dlq: options.Queue = None,
    code: options.Codes = None,
    text: options.Text = None,
    older_than: options.OlderThan = None,
    newer_than: options.NewerThan = None,
) -> None:
    """Write dead letters to a file, one JSON line each; the queue stays as it is."""
    from worker.deadletter_files import export as export_letters

    sieve = sieve_of(code, text, older_than, newer_than)

    async def work(clients: AwsClients) -> int:
        async with await _walk(clients.sqs, dlq) as walk:
            if str(file) == "-":
                return await export_letters(walk, sieve, sys.stdout.buffer)
            with file.open("wb") as out, progress() as bar:
                task = bar.add_task("exporting", total=walk.total)
                return await export_letters(
                    walk, sieve, out, report=lambda _: bar.update(task, completed=walk.seen)
                )

    sys.stderr.write(f"{with_clients(work)} exported.\n")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    dlq: options.Queue = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME|URL", help="Another queue than the dead-letter queue."),
    ] = None,
) -> None:
    """Send an exported file to the dead-letter queue; all of it is checked before any is sent."""
    from worker.deadletter_files import LineError, import_lines, read_lines

    try:
        with file.open("rb") as lines:
            total = sum(1 for _ in read_lines(lines))
    except LineError as error:
        fail(f"{file}: {error}. Nothing was sent.")

    async def work(clients: AwsClients) -> int:
        url = await _url(clients.sqs, to) if to else await _dlq_url(clients.sqs, dlq)
        with file.open("rb") as lines, progress() as bar:
            task = bar.add_task("importing", total=total)
            done = await import_lines(
                clients.sqs,
                url,
                read_lines(lines),
                report=lambda state: bar.update(task, completed=state.sent),
            )
        return done.sent

    try:
        sys.stderr.write(f"{with_clients(work)} imported.\n")
    except LineError as error:
        fail(f"{file}: {error}; those before it were sent.")


def _end(tally: Tally, verb: str) -> None:
    """Say what was done; exit 1 if something was meant and not done."""
    _say(tally, verb)
    if tally.failed or tally.doubled:
        raise typer.Exit(EXIT_FAILED)


def _say(tally: Tally, verb: str) -> None:
    lines = [f"{tally.done} {verb}, {tally.kept} left as they are."]
    lines += [f"  {count:>7} {code}" for code, count in tally.by_code.most_common()]
    if tally.failed:
        lines.append(f"{tally.failed} failed and are still in the queue:")
        lines += [f"  {count:>7} {reason}" for reason, count in tally.reasons.most_common(5)]
    if tally.doubled:
        lines.append(
            f"{tally.doubled} were sent and could not be deleted: they are in both queues."
        )
    sys.stdout.write("\n".join(lines) + "\n")


async def _walk(sqs: SQSClient, dlq: str | None) -> Walk:
    from worker.deadletters import Walk

    return Walk(sqs, await _dlq_url(sqs, dlq))


async def _dlq_url(sqs: SQSClient, dlq: str | None) -> str:
    """The dead-letter queue that is meant."""
    from worker.deadletters import dead_letter_queues

    if dlq and "://" in dlq:
        return dlq
    settings = load_settings()
    found = await dead_letter_queues(sqs, settings.queue_url)
    if dlq is not None:
        if dlq not in found:
            there = ", ".join(found) or "none"
            raise CommandError(f"No queue's RedrivePolicy names {dlq!r}; there is {there}.")
        return found[dlq]
    if not found:
        raise CommandError("No queue has a RedrivePolicy, so there is no dead-letter queue.")
    if len(found) > 1:
        raise CommandError(f"Say which with --dlq: {', '.join(found)}.", code=EXIT_USAGE)
    return next(iter(found.values()))


async def _url(sqs: SQSClient, name_or_url: str) -> str:
    if "://" in name_or_url:
        return name_or_url
    return (await sqs.get_queue_url(QueueName=name_or_url))["QueueUrl"]


def _destination(sqs: SQSClient, to: str | None) -> Any:
    """Where each letter goes: `to`, or its own source queue, or the only queue there is."""
    known: dict[str, str] = {}

    async def find(letter: DeadLetter) -> str:
        name = to or letter.source_queue or ""
        if name not in known:
            if name:
                known[name] = await _url(sqs, name)
            else:
                urls = load_settings().queue_url
                if len(urls) > 1:
                    raise CommandError(
                        f"Nobody knows which queue {letter.message_id} came from: say --to.",
                        code=EXIT_USAGE,
                    )
                known[name] = urls[0]
        return known[name]

    return find
