"""Where the inbox keeps its events: one SQLite file, written and read off the event loop."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

_BUSY_TIMEOUT_S: Final = 5.0
_SCORES_SHOWN: Final = ("overall", "pronunciation", "timing", "pitch")
FINAL_STATUSES: Final = ("completed", "failed")

_Answer = TypeVar("_Answer")

# `event` is what came, each once; `job` is what it adds up to, so that a list needs no JSON read.
# AUTOINCREMENT: a sequence number is never used twice, or a reader who reconnects would miss one.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL,
    type TEXT NOT NULL,
    received_at TEXT NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_of_job ON event (job_id, seq);
CREATE TABLE IF NOT EXISTS job (
    job_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    status TEXT NOT NULL,
    progress INTEGER NOT NULL,
    first_event_at TEXT NOT NULL,
    last_event_at TEXT NOT NULL,
    summary TEXT NOT NULL,
    final_seq INTEGER REFERENCES event (seq)
) STRICT;
CREATE INDEX IF NOT EXISTS job_by_change ON job (seq);
"""


@dataclass(frozen=True)
class IncomingEvent:
    """A verified event: its `webhook-id`, its body as it came, and the body as JSON."""

    webhook_id: str
    body: str
    payload: dict[str, Any]

    @property
    def type(self) -> str:
        """The event's type, such as `analysis.completed`."""
        return str(self.payload["type"])

    @property
    def data(self) -> dict[str, Any]:
        """What the event says of its job."""
        data: dict[str, Any] = self.payload["data"]
        return data


@dataclass(frozen=True)
class StoredEvent:
    """An event as it was kept; `seq` grows with every new event of any job."""

    seq: int
    type: str
    body: str


class InboxStore:
    """The file, and the one thread that touches it.

    Events that arrive while a transaction is being written share the next one. What was answered
    outlives the process; with `sync` also a power cut, at the price of waiting for the disk.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self._path = path
        self._sync = sync
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inbox-store")
        self._pending: list[tuple[IncomingEvent, asyncio.Future[bool]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._run(lambda: _open(self._path, sync=self._sync))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer:
            await self._writer
        await self._run(self._connection.close)
        self._thread.shutdown()

    async def add(self, event: IncomingEvent) -> bool:
        """Keep an event; false when its `webhook-id` is here already. Raises `sqlite3.Error`."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.append((event, kept))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending())
        return await kept

    async def _write_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            events = [event for event, _ in batch]
            waiting = [kept for _, kept in batch]
            try:
                outcomes = await self._run(partial(_insert, self._connection, events))
            except sqlite3.Error as error:
                for kept in waiting:
                    if not kept.done():  # its sender may have gone away
                        kept.set_exception(error)
            else:
                for kept, is_new in zip(waiting, outcomes, strict=True):
                    if not kept.done():
                        kept.set_result(is_new)

    async def jobs(self, *, after_seq: int = 0, limit: int) -> list[dict[str, Any]]:
        """Summaries of jobs that changed after a sequence number: the latest, oldest first."""
        query = "SELECT * FROM job WHERE seq > ? ORDER BY seq DESC LIMIT ?"
        rows = await self._run(
            lambda: self._connection.execute(query, (after_seq, limit)).fetchall()
        )
        return [_summary(row) for row in reversed(rows)]

    async def job(self, job_id: str) -> dict[str, Any] | None:
        """One job's summary with the whole `result` of its final event; None when not known."""
        query = (
            "SELECT job.*, event.body FROM job LEFT JOIN event ON event.seq = job.final_seq "
            "WHERE job.job_id = ?"
        )
        row = await self._run(lambda: self._connection.execute(query, (job_id,)).fetchone())
        if row is None:
            return None
        final = json.loads(row["body"])["data"] if row["body"] else {}
        return _summary(row) | {
            "result": final.get("result"),
            "result_location": final.get("result_location"),
        }

    async def events(self, job_id: str, *, after_seq: int) -> list[StoredEvent]:
        """One job's events after a sequence number, in the order in which they came."""
        query = "SELECT seq, type, body FROM event WHERE job_id = ? AND seq > ? ORDER BY seq"
        rows = await self._run(
            lambda: self._connection.execute(query, (job_id, after_seq)).fetchall()
        )
        return [StoredEvent(row["seq"], row["type"], row["body"]) for row in rows]

    async def forget(self, *, older_than: timedelta) -> int:
        """Delete jobs whose last event is older; their number."""
        before = _iso(datetime.now(UTC) - older_than)
        return await self._run(lambda: _forget(self._connection, before))

    async def _run(self, call: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _open(path: Path, *, sync: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL syncs at checkpoints only: a crash loses nothing, a power cut the last few.
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
    connection.executescript(_SCHEMA)
    return connection


def _insert(connection: sqlite3.Connection, events: list[IncomingEvent]) -> list[bool]:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        return [_insert_one(connection, event) for event in events]


def _insert_one(connection: sqlite3.Connection, event: IncomingEvent) -> bool:
    now = _iso(datetime.now(UTC))
    inserted = connection.execute(
        "INSERT INTO event (webhook_id, job_id, type, received_at, body) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (webhook_id) DO NOTHING RETURNING seq",
        (event.webhook_id, event.data["job_id"], event.type, now, event.body),
    ).fetchone()
    if inserted is None:
        connection.execute(
            "UPDATE event SET repeats = repeats + 1 WHERE webhook_id = ?", (event.webhook_id,)
        )
        return False
    _update_job(connection, event, inserted["seq"], now)
    return True


def _update_job(connection: sqlite3.Connection, event: IncomingEvent, seq: int, now: str) -> None:
    """Bring a job's row up to date; what comes late or out of order never takes a job back."""
    data = event.data
    status, progress = data["status"], data["progress"]
    is_final = status in FINAL_STATUSES
    known = connection.execute(
        "SELECT status, progress, first_event_at FROM job WHERE job_id = ?", (data["job_id"],)
    ).fetchone()
    if known is not None:
        if known["status"] == "completed" or (known["status"] == "failed" and not is_final):
            return
        progress = max(progress, known["progress"])
    connection.execute(
        "INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            data["job_id"],
            seq,
            status,
            progress,
            known["first_event_at"] if known else now,
            now,
            json.dumps(_shown(data)),
            seq if is_final else None,
        ),
    )


def _shown(data: dict[str, Any]) -> dict[str, Any]:
    scores = (data.get("result") or {}).get("scores") or {}
    return {
        "video_id": data.get("video_id"),
        "message": data.get("message"),
        "attempt": data.get("attempt"),
        "metadata": data.get("metadata") or {},
        "scores": {name: scores.get(name) for name in _SCORES_SHOWN} if scores else None,
        "error": data.get("error"),
    }


def _summary(row: sqlite3.Row) -> dict[str, Any]:
    fields = ("job_id", "seq", "status", "progress", "first_event_at", "last_event_at")
    shown: dict[str, Any] = json.loads(row["summary"])
    return {name: row[name] for name in fields} | shown


def _forget(connection: sqlite3.Connection, before: str) -> int:
    with connection:
        connection.execute(
            "DELETE FROM event WHERE job_id IN (SELECT job_id FROM job WHERE last_event_at < ?)",
            (before,),
        )
        forgotten = connection.execute("DELETE FROM job WHERE last_event_at < ?", (before,))
    return forgotten.rowcount


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
