"""`status`: one look at the fleet, for people and for programs."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands import options
from worker.commands.aws import with_clients
from worker.commands.errors import EXIT_FAILED, load_settings
from worker.commands.options import age_text
from worker.commands.terminal import console, table

if TYPE_CHECKING:
    from worker.aws import AwsClients
    from worker.fleet import QueueReading, WorkerReading


def status(
    *,
    max_age: Annotated[
        options.Age | None,
        typer.Option(
            "--max-age",
            metavar="AGE",
            parser=options.Age.parse,
            help="Exit 1 if a message has waited longer.",
        ),
    ] = None,
    peek: Annotated[
        bool,
        typer.Option(
            "--peek",
            help="Where CloudWatch does not know the age, receive up to ten messages to see it; "
            "each of them loses one of its tries.",
        ),
    ] = False,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the queues, and exit 1 if there are dead letters or a message is too old."""
    settings = load_settings()

    async def work(clients: AwsClients) -> tuple[list[QueueReading], list[WorkerReading]]:
        from worker.fleet import oldest_ages_s, peek_oldest_s, read_queue

        ages = await oldest_ages_s(clients, settings.queue_url)
        for url, age_s in ages.items():
            if peek and age_s is None:
                ages[url] = await peek_oldest_s(clients.sqs, url)
        queues = [
            await read_queue(clients.sqs, url, oldest_s=ages[url]) for url in settings.queue_url
        ]
        return queues, await read_workers(workers or [])

    queues, readings = with_clients(work)
    problems = _problems(queues, readings, max_age)
    if as_json:
        whole = {
            "ok": not problems,
            "problems": problems,
            "queues": [_fields(queue) for queue in queues],
            "workers": [_worker_fields(reading) for reading in readings],
        }
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
    else:
        _print(queues, readings)
        for problem in problems:
            sys.stderr.write(problem + "\n")
    if problems:
        raise typer.Exit(EXIT_FAILED)


async def read_workers(addresses: list[str]) -> list[WorkerReading]:
    """Scrape every worker at once."""
    import httpx

    from worker.fleet import scrape

    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        return list(await asyncio.gather(*(scrape(http, address) for address in addresses)))


def _problems(
    queues: list[QueueReading], workers: list[WorkerReading], max_age: options.Age | None
) -> list[str]:
    found = []
    for queue in queues:
        if queue.dead_depth and queue.dead_depth.total:
            found.append(
                f"{queue.dead_name} holds {queue.dead_depth.total} dead letters: "
                "`analysis-worker dlq list` says why."
            )
        if max_age is None or queue.oldest_s == 0.0:
            continue
        if queue.oldest_s is None:
            found.append(
                f"The age of the oldest message in {queue.name} is not known: CloudWatch has none, "
                "or cloudwatch:GetMetricStatistics is denied. --peek looks into the queue itself."
            )
        elif queue.oldest_s > max_age.seconds:
            found.append(
                f"The oldest message in {queue.name} has waited {age_text(queue.oldest_s)}, "
                f"longer than {age_text(max_age.seconds)}."
            )
    found += [
        f"The worker {reading.address} does not answer ({reading.error})."
        for reading in workers
        if reading.error
    ]
    return found


def _print(queues: list[QueueReading], workers: list[WorkerReading]) -> None:
    numbers = ("WAITING", "IN FLIGHT", "DELAYED", "OLDEST", "DEAD", "TRIES")
    shown = table("QUEUE", *numbers, "DEAD-LETTER QUEUE", right=numbers)
    for queue in queues:
        shown.add_row(
            queue.name,
            str(queue.depth.visible),
            str(queue.depth.in_flight),
            str(queue.depth.delayed),
            "-" if queue.depth.total == 0 else age_text(queue.oldest_s),
            "-" if queue.dead_depth is None else str(queue.dead_depth.total),
            str(queue.max_receive_count or "-"),
            queue.dead_name or "none",
        )
    console().print(shown)
    if workers:
        numbers = ("BUSY", "IN FLIGHT", "DONE", "DEAD", "RETRIED", "MB")
        shown = table("WORKER", "VERSION", *numbers, right=numbers)
        for reading in workers:
            fields = _worker_fields(reading)
            if reading.error:
                shown.add_row(reading.address, reading.error)
                continue
            shown.add_row(
                reading.address,
                reading.version,
                f"{fields['slots_busy']}/{fields['slots']}",
                str(fields["in_flight"]),
                *(str(fields[name]) for name in ("completed", "dead_lettered", "retried")),
                str(fields["resident_mb"]),
            )
        console().print()
        console().print(shown)


def _fields(queue: QueueReading) -> dict[str, Any]:
    return {
        "name": queue.name,
        "url": queue.url,
        "visible": queue.depth.visible,
        "in_flight": queue.depth.in_flight,
        "delayed": queue.depth.delayed,
        "oldest_s": queue.oldest_s,
        "max_receive_count": queue.max_receive_count,
        "dlq": queue.dead_name,
        "dlq_messages": queue.dead_depth.total if queue.dead_depth else None,
    }


def _worker_fields(reading: WorkerReading) -> dict[str, Any]:
    if reading.error:
        return {"address": reading.address, "error": reading.error}
    settled = reading.by("jobs_settled_total", "outcome")
    return {
        "address": reading.address,
        "version": reading.version,
        "slots": int(reading.value("slots")),
        "slots_busy": int(reading.value("slots_busy")),
        "in_flight": int(reading.value("jobs_in_flight")),
        "completed": int(settled.get("completed", 0)),
        "dead_lettered": int(settled.get("dead_lettered", 0)),
        "retried": int(settled.get("retried", 0)),
        "resident_mb": round(reading.resident_mb),
    }
