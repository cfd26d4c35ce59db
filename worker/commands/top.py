"""`top`: the fleet, live, in a terminal of 80×24 or more."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.commands import options
from worker.commands.aws import sentence, with_clients
from worker.commands.errors import EXIT_USAGE, fail, load_settings
from worker.commands.options import age_text
from worker.commands.status import read_workers

if TYPE_CHECKING:
    from worker.aws import AwsClients
    from worker.fleet import QueueReading, WorkerReading

HISTORY: Final = 48
"""Readings that a sparkline shows."""

AGE_EVERY_S: Final = 60.0
"""CloudWatch has new numbers once a minute, and a price for each question."""

BARS: Final = " ▁▂▃▄▅▆▇█"
STAGE: Final = "total"


def top(
    *,
    workers: options.Workers = None,
    interval: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Between two readings.")
    ] = 2.0,
) -> None:
    """Watch queues, rates and latency; q quits. Rates need the workers' addresses."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail("top needs a terminal; `analysis-worker status` does not.", code=EXIT_USAGE)
    settings = load_settings()

    async def work(clients: AwsClients) -> None:
        await _watch(clients, settings.queue_url, workers or [], interval)

    with_clients(work)


@dataclass
class Board:
    """What is shown: the latest reading, and what the ones before it add up to."""

    interval_s: float
    queues: Sequence[QueueReading] = ()
    workers: Sequence[WorkerReading] = ()
    error: str | None = None
    read_at: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    """Jobs a second by outcome."""
    p50_s: float | None = None
    p95_s: float | None = None
    done: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    latency: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    waiting: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def take(
        self, queues: Sequence[QueueReading], workers: Sequence[WorkerReading], now: float
    ) -> None:
        """Add a reading; `now` is monotonic, in seconds."""
        from worker.fleet import difference, quantile

        before = {reading.address: reading for reading in self.workers if not reading.error}
        outcomes: dict[str, float] = {}
        gained: dict[float, float] = {}
        for reading in workers:
            old = before.get(reading.address)
            if reading.error or old is None:
                continue
            for outcome, count in reading.by("jobs_settled_total", "outcome").items():
                more = count - old.by("jobs_settled_total", "outcome").get(outcome, 0.0)
                # A worker that began again counts from nought.
                outcomes[outcome] = outcomes.get(outcome, 0.0) + (count if more < 0 else more)
            for bound, count in difference(old.buckets(STAGE), reading.buckets(STAGE)).items():
                gained[bound] = gained.get(bound, 0.0) + count
        if self.read_at is not None and now > self.read_at:
            elapsed_s = now - self.read_at
            self.rates = {name: count / elapsed_s for name, count in outcomes.items()}
            self.done.append(self.rates.get("completed", 0.0))
        self.p50_s, self.p95_s = quantile(gained, 0.5), quantile(gained, 0.95)
        self.latency.append(self.p95_s or 0.0)
        self.waiting.append(float(sum(queue.depth.visible for queue in queues)))
        self.queues, self.workers, self.read_at, self.error = queues, workers, now, None

    def lines(self, width: int, height: int, clock: str) -> list[str]:
        """The screen, line by line; never more or longer than the terminal has room for."""
        shown = [
            _spread(f"analysis-worker top  {clock}", f"every {self.interval_s:g} s, q quits", width)
        ]
        shown.append(self.error or "")
        shown += self._queue_lines()
        shown.append("")
        shown += self._rate_lines(width)
        room = height - len(shown) - 1
        if self.workers and room >= 2:
            shown.append("")
            shown += self._worker_lines(room)
        return [line[:width] for line in shown[:height]]

    def _queue_lines(self) -> list[str]:
        name_width = max([12, *(len(queue.name) for queue in self.queues)])
        name_width = min(name_width, 28)
        lines = [
            f"{'QUEUE':{name_width}} {'WAITING':>9} {'IN FLIGHT':>9} {'DELAYED':>8} "
            f"{'OLDEST':>8} {'DEAD':>7}"
        ]
        for queue in self.queues[:6]:
            dead = "-" if queue.dead_depth is None else str(queue.dead_depth.total)
            age = "-" if queue.depth.total == 0 else age_text(queue.oldest_s)
            lines.append(
                f"{queue.name[:name_width]:{name_width}} {queue.depth.visible:>9} "
                f"{queue.depth.in_flight:>9} {queue.depth.delayed:>8} {age:>8} {dead:>7}"
            )
        if not self.queues:
            lines.append("reading …")
        return lines

    def _rate_lines(self, width: int) -> list[str]:
        bars = min(HISTORY, width - 32)
        lines = [f"{'waiting':10} {_latest(self.waiting):>18}  {sparkline(self.waiting, bars)}"]
        if not self.workers:
            return [*lines, "rates and latency: give the workers' addresses with --worker"]
        done = self.rates.get("completed", 0.0)
        seconds = f"{_seconds(self.p50_s)} / {_seconds(self.p95_s)}"
        others = ", ".join(
            f"{name} {rate:.1f}/s"
            for name, rate in sorted(self.rates.items())
            if name != "completed"
        )
        return [
            *lines,
            f"{'completed':10} {f'{done:.1f}/s':>18}  {sparkline(self.done, bars)}",
            f"{'p50 / p95':10} {seconds:>18}  {sparkline(self.latency, bars)}",
            f"others     {others or '-'}",
        ]

    def _worker_lines(self, room: int) -> list[str]:
        lines = [
            f"{'WORKER':32} {'BUSY':>7} {'IN FLIGHT':>9} {'DONE':>8} {'DEAD':>6} {'MB':>6}  VERSION"
        ]
        # The ones in trouble first: they must not fall off the end of a small terminal.
        ordered = sorted(self.workers, key=lambda reading: (reading.error is None, reading.address))
        fits = room - 1 if len(ordered) <= room - 1 else room - 2
        for reading in ordered[: max(0, fits)]:
            if reading.error:
                lines.append(f"{reading.address[:32]:32} does not answer ({reading.error})")
                continue
            settled = reading.by("jobs_settled_total", "outcome")
            busy = f"{reading.value('slots_busy'):.0f}/{reading.value('slots'):.0f}"
            lines.append(
                f"{reading.address[:32]:32} {busy:>7} {reading.value('jobs_in_flight'):>9.0f} "
                f"{settled.get('completed', 0):>8.0f} {settled.get('dead_lettered', 0):>6.0f} "
                f"{reading.resident_mb:>6.0f}  {reading.version}"
            )
        hidden = len(ordered) - max(0, fits)
        return [*lines, f"… and {hidden} more"] if hidden > 0 else lines


def sparkline(values: Sequence[float], width: int) -> str:
    """The latest values as bars, the highest of them full."""
    recent = list(values)[-max(0, width) :]
    highest = max(recent, default=0.0)
    if highest <= 0:
        return BARS[1] * len(recent)
    steps = len(BARS) - 1
    return "".join(BARS[max(1, math.ceil(value / highest * steps))] for value in recent)


def _latest(values: Sequence[float]) -> str:
    return f"{values[-1]:.0f}" if values else "-"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _spread(left: str, right: str, width: int) -> str:
    return left + " " * max(1, width - len(left) - len(right)) + right


async def _watch(
    clients: AwsClients, urls: Sequence[str], addresses: list[str], interval_s: float
) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    board = Board(interval_s)
    console = Console()
    quit_asked = asyncio.Event()

    def screen() -> Text:
        size = console.size
        lines = board.lines(size.width, size.height, time.strftime("%H:%M:%S"))
        return Text("\n".join(lines), no_wrap=True, overflow="crop")

    with (
        _keys(quit_asked),
        Live(screen(), console=console, screen=True, auto_refresh=False) as live,
    ):
        reading = asyncio.create_task(_read(board, clients, urls, addresses, interval_s))
        asked = asyncio.create_task(quit_asked.wait())
        try:
            while not asked.done():
                live.update(screen(), refresh=True)
                await asyncio.wait({asked, reading}, timeout=min(0.5, interval_s))
                if reading.done():
                    reading.result()
        finally:
            for task in (reading, asked):
                task.cancel()
            await asyncio.gather(reading, asked, return_exceptions=True)


async def _read(
    board: Board,
    clients: AwsClients,
    urls: Sequence[str],
    addresses: list[str],
    interval_s: float,
) -> None:
    """Read the fleet again and again; a failure is shown and not fatal."""
    from botocore.exceptions import BotoCoreError, ClientError

    from worker.fleet import oldest_ages_s, read_queue

    ages: dict[str, float | None] = dict.fromkeys(urls)
    ages_due = 0.0
    while True:
        try:
            if time.monotonic() >= ages_due:
                ages = await oldest_ages_s(clients, urls)
                ages_due = time.monotonic() + AGE_EVERY_S
            queues = [await read_queue(clients.sqs, url, ages[url]) for url in urls]
            board.take(queues, await read_workers(addresses), time.monotonic())
        except (ClientError, BotoCoreError, OSError, TimeoutError) as error:
            board.error = "! " + sentence(error).splitlines()[0]
        await asyncio.sleep(interval_s)


@contextlib.contextmanager
def _keys(quit_asked: asyncio.Event) -> Iterator[None]:
    """Watch the keyboard: keys come one by one and are not shown; undone at the end."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(keyboard)

    def pressed() -> None:
        keys = os.read(keyboard, 64)
        if not keys or b"q" in keys.lower():
            quit_asked.set()

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, pressed)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
