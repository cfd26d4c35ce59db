"""One job from a file, with no queue: for a replay or a look."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path

from worker.aws import open_clients
from worker.contract import Addressee, Event, EventError, EventType, build_event
from worker.core import WarmUpError, open_analysts, open_core
from worker.failures import JobFailure
from worker.metrics import Metrics
from worker.pipeline import FINAL
from worker.queue import Message, Queue
from worker.settings import Settings, SettingsError


async def process_file(settings: Settings, path: Path) -> int:
    """Do one job from a file and print its event.

    The event also goes to the job's webhook, if it names one.

    Returns
    -------
    The exit code: 0 if the job completed.
    """
    body = await asyncio.to_thread(path.read_text, encoding="utf-8")
    metrics = Metrics.for_settings(settings)
    one = settings.model_copy(update={"concurrency": 1})
    try:
        async with (
            open_clients(wait_time_s=0) as clients,
            open_analysts(one, metrics) as analysts,
            open_core(one, clients, metrics, analysts, answers_elsewhere=True) as core,
        ):
            event = await core.pipeline.run(
                Message(
                    message_id=uuid.uuid4().hex,
                    receipt_handle="",
                    body=body,
                    queue=Queue(clients.sqs, path.name, metrics),
                )
            )
    except (SettingsError, WarmUpError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except JobFailure as failure:
        _print(
            build_event(
                EventType.FAILED,
                Addressee.salvage(body),
                attempt=1,
                progress=FINAL,
                message=failure.message,
                error=EventError.of(failure),
            )
        )
        return 1
    _print(event)
    return 0


def _print(event: Event) -> None:
    sys.stdout.write(event.body.decode() + "\n")
    sys.stdout.flush()
