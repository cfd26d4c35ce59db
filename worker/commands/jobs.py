"""`enqueue`: jobs from files into the queue."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands import options
from worker.commands.aws import with_clients
from worker.commands.errors import EXIT_FAILED, EXIT_USAGE, fail, load_settings
from worker.commands.terminal import progress

if TYPE_CHECKING:
    from worker.aws import AwsClients
    from worker.producer import SendReport


def enqueue(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="JOB.json...",
            help="One job, a list, or JSON lines; a glob, for where no shell expands it; - for "
            "stdin.",
        ),
    ],
    *,
    queue: Annotated[
        str | None,
        typer.Option("--queue", metavar="NAME|URL", help="Unless given, WORKER_QUEUE_URL's first."),
    ] = None,
    job_type: Annotated[
        str | None, typer.Option("--job-type", help="The handler that takes it.")
    ] = None,
    group_id: Annotated[
        str | None, typer.Option("--group-id", help="FIFO queues: the message group.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check jobs and send them; one that is refused holds up no other."""
    from worker.contract import DEFAULT_JOB_TYPE
    from worker.outgoing import Envelope
    from worker.producer import AsyncJobProducer

    jobs = [job for named in files for file in _expanded(named) for job in _read(file)]
    envelope = Envelope(job_type=job_type or DEFAULT_JOB_TYPE, group_id=group_id)

    async def work(clients: AwsClients) -> SendReport:
        if queue and "://" not in queue:
            url = (await clients.sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        else:
            url = queue or load_settings().queue_url[0]
        with progress() as bar:
            task = bar.add_task("sending", total=len(jobs))
            async with AsyncJobProducer(url, sqs=clients.sqs, s3=clients.s3) as producer:
                return await producer.send_many(
                    jobs, envelope=envelope, on_done=lambda count: bar.advance(task, count)
                )

    report = with_clients(work)
    for sent in report.sent:
        line = {"job_id": sent.job_id, "message_id": sent.message_id}
        sys.stdout.write(
            (json.dumps(line) if as_json else f"{sent.job_id} {sent.message_id}") + "\n"
        )
    for refused in report.not_sent:
        sys.stderr.write(f"{refused.job_id or '(no job_id)'}: {refused.reason}\n")
    if report.not_sent:
        raise typer.Exit(EXIT_FAILED)


def _expanded(named: Path) -> list[Path]:
    """The files that a glob means, in order; a path that is there means itself."""
    if named.exists() or not glob.has_magic(str(named)):
        return [named]
    found = sorted(Path(named.anchor or ".").glob(str(named.relative_to(named.anchor))))
    if not found:
        fail(f"{named} matches no file.", code=EXIT_USAGE)
    return found


def _read(file: Path) -> Iterator[dict[str, Any]]:
    """The jobs of a file: an object, a list of them, or one on each line."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}", code=EXIT_USAGE)
    try:
        whole = json.loads(text)
        found = whole if isinstance(whole, list) else [whole]
    except ValueError as problem:
        try:
            # Not `splitlines`: JSON strings may hold the other line ends of Unicode.
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError:
            fail(f"{file} is no JSON: {problem}", code=EXIT_USAGE)
    if not found:
        fail(f"{file} holds no job.", code=EXIT_USAGE)
    for job in found:
        if not isinstance(job, dict):
            fail(f"{file}: a job is a JSON object, not {type(job).__name__}.", code=EXIT_USAGE)
        yield job
