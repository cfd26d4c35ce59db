"""The whole thing at work on this machine: jobs through queue, worker, S3 and webhook.

    python scripts/demo.py            run a dozen jobs, print what came of them; exit 0 if all
                                      came out as expected
    python scripts/demo.py --keep     leave it running, with the inbox's page, until Ctrl-C

Queue and S3 are moto's, the webhook consumer is scripts/inbox.py, the worker is the real one in
a process of its own, and the speech is that of tests/fixtures.
"""

import json
import os
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.child_process import ChildError, ChildProcess
from scripts.demo_report import DeadLetter, dead_letter_table, jobs_table
from scripts.demo_scenario import ANOTHER_JOB, JOBS, UPLOADS, departures
from scripts.demo_stack import ROOT, Stack, running

FIXTURES: Final = ROOT / "tests" / "fixtures"

_LOOK_EVERY_S: Final = 0.2
_WORK_TIMEOUT_S: Final = 240.0  # the first run on a machine compiles for 20 s
_WORKER_STOP_TIMEOUT_S: Final = 30.0
_BATCH: Final = 10  # of SQS: entries of one SendMessageBatch, messages of one receive
_HTTP_TIMEOUT_S: Final = 10.0
_EXIT_UNEXPECTED: Final = 1
_EXIT_BROKEN: Final = 2

console = Console()


def enqueue(stack: Stack) -> None:
    """Send every job of the scenario."""
    entries = [
        {"Id": str(number), "MessageBody": job.body(stack.webhook_url)}
        for number, job in enumerate(JOBS)
    ]
    for first in range(0, len(entries), _BATCH):
        answer = stack.sqs.send_message_batch(
            QueueUrl=stack.queue_url,
            Entries=entries[first : first + _BATCH],  # type: ignore[arg-type]
        )
        if answer.get("Failed"):
            raise RuntimeError(f"SQS did not take {answer['Failed']}")


def worker(stack: Stack, *, until_empty: bool) -> ChildProcess:
    """Make the worker's process, not yet started."""
    arguments = [sys.executable, "-m", "worker", "run"]
    return ChildProcess(
        "worker",
        arguments + ["--until-empty"] * until_empty,
        environment=stack.process_environment(),
        folder=stack.folder,
        stop_timeout_s=_WORKER_STOP_TIMEOUT_S,
    )


def watch(stack: Stack, process: ChildProcess, done: Callable[[], bool]) -> None:
    """Show how far the jobs are until `done`, or until the worker has ended by itself."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    give_up_at = time.monotonic() + _WORK_TIMEOUT_S
    with (
        Progress(*columns, console=console, transient=True) as bars,
        httpx.Client(base_url=stack.inbox_url, timeout=_HTTP_TIMEOUT_S) as inbox,
    ):
        bar = bars.add_task("the worker warms up", total=len(JOBS))
        while True:
            exit_code = process.exit_code()
            jobs = inbox.get("/jobs").json()["jobs"]
            final = sum(job["status"] != "processing" for job in jobs)
            heard = sum(job["progress"] for job in jobs) / 100
            silent = sum(job.expected.status == "unheard" for job in JOBS)
            if jobs:
                bars.update(
                    bar,
                    completed=heard + silent,
                    description=f"{final + silent} of {len(JOBS)} settled",
                )
            if exit_code is not None or done():
                break
            if time.monotonic() > give_up_at:
                raise ChildError(
                    f"Jobs are still under way after {_WORK_TIMEOUT_S:.0f} s.\n{process.log_tail()}"
                )
            time.sleep(_LOOK_EVERY_S)
    if exit_code:
        raise ChildError(f"The worker ended with {exit_code}.\n{process.log_tail()}")


def all_settled(stack: Stack) -> bool:
    """Whether nothing of the scenario is left in the queue, waiting or in flight."""
    attributes = stack.sqs.get_queue_attributes(
        QueueUrl=stack.queue_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return not any(int(count) for count in attributes.values())


def inbox_jobs(stack: Stack) -> dict[str, dict[str, Any]]:
    """Give what the inbox knows of the scenario's jobs, with their whole results, by job id."""
    seen = {}
    with httpx.Client(base_url=stack.inbox_url, timeout=_HTTP_TIMEOUT_S) as inbox:
        for job in JOBS:
            answer = inbox.get(f"/jobs/{job.job_id}")
            if answer.is_success:
                seen[job.job_id] = answer.json()
    return seen


def dead_letters(stack: Stack) -> list[DeadLetter]:
    """Look at the dead-letter queue and leave everything in it."""
    letters: dict[str, DeadLetter] = {}
    while messages := stack.sqs.receive_message(
        QueueUrl=stack.dead_letter_queue_url,
        MaxNumberOfMessages=_BATCH,
        MessageAttributeNames=["All"],
        VisibilityTimeout=5,  # long enough that this loop sees each once
    ).get("Messages"):
        for message in messages:
            attributes = {
                name: value.get("StringValue", "")
                for name, value in message.get("MessageAttributes", {}).items()
            }
            letters[message["MessageId"]] = DeadLetter(message["Body"], attributes)
    return list(letters.values())


def report(stack: Stack) -> bool:
    """Print what came of it all; whether it is as expected."""
    seen = inbox_jobs(stack)
    letters = dead_letters(stack)
    unnamed = next((job.job_id for job in JOBS if job.raw_body is not None), "")
    codes = {letter.job_id or unnamed: letter.code for letter in letters}
    departed = {job.job_id: list(departures(job, seen, codes)) for job in JOBS}
    console.print(jobs_table(JOBS, seen, departed, width=console.width))
    console.print(dead_letter_table(letters))
    wrong = {job_id: problems for job_id, problems in departed.items() if problems}
    for job_id, problems in wrong.items():
        console.print(f"[bold red]{job_id}[/]: {escape('; '.join(problems))}", highlight=False)
    if wrong:
        console.print(f"[bold red]{len(wrong)} of {len(JOBS)} did not come out as expected.[/]")
    else:
        console.print(f"[green]All {len(JOBS)} came out as expected.[/]")
    return not wrong


def invite(stack: Stack) -> None:
    """Say how to look on and how to enqueue more."""
    another = stack.folder / "job.json"
    job = {**ANOTHER_JOB, "webhook_url": stack.webhook_url}
    another.write_text(json.dumps(job, indent=2, ensure_ascii=False) + "\n")
    exports = stack.folder / "environment.sh"
    exports.write_text("".join(f"export {k}='{v}'\n" for k, v in stack.environment.items()))
    exports.chmod(0o600)  # it holds the signing secret
    command = Path(sys.executable).parent / "analysis-worker"
    console.print(
        f"\nThe inbox: [link={stack.inbox_url}]{stack.inbox_url}[/]\n"
        f"Enqueue one more, in another shell:\n"
        f"  . {exports}\n"
        f"  {command} enqueue {another}\n"
        f"The dead letters:\n"
        f"  {command} dlq list\n"
        f"The worker's log: {stack.folder / 'worker.log'}\n"
        f"Ctrl-C ends it all.",
        soft_wrap=True,
        highlight=False,
    )
    if sys.stdout.isatty() and (sys.platform == "darwin" or os.environ.get("DISPLAY")):
        webbrowser.open(f"{stack.inbox_url}#job={JOBS[0].job_id}")


def stay(process: ChildProcess) -> None:
    """Leave everything running until Ctrl-C, or until the worker ends."""
    try:
        while process.exit_code() is None:
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        console.print("Ended.")
    else:
        raise ChildError(f"The worker ended.\n{process.log_tail()}")


def run(folder: Path, *, keep: bool) -> int:
    """Run the demo in a folder; its exit code."""
    speech = {key: FIXTURES / fixture for key, fixture in UPLOADS.items()}
    with running(folder, speech) as stack:
        enqueue(stack)
        with worker(stack, until_empty=not keep) as process:
            watch(stack, process, done=lambda: keep and all_settled(stack))
            as_expected = report(stack)
            if keep:
                invite(stack)
                stay(process)
    return 0 if as_expected else _EXIT_UNEXPECTED


def _end(number: int, _: FrameType | None) -> None:
    """Leave by way of every `with`, so that no process is left behind."""
    raise SystemExit(128 + number)


def main(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running until Ctrl-C, with the inbox's page.")
    ] = False,
) -> None:
    """Run a dozen jobs through queue, worker and webhook on this machine."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    # A shell that puts it in the background has it ignore Ctrl-C, and kill -INT with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="analysis-demo-") as folder:
            code = run(Path(folder), keep=keep)
    except KeyboardInterrupt:
        console.print("Ended.")
        code = 128 + signal.SIGINT
    except ChildError as error:
        console.print(str(error), style="bold red", markup=False)
        code = _EXIT_BROKEN
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
