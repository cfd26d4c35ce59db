"""Runs the queue's integration tests, unchanged, against each SQS server in turn.

    .venv/bin/python -m scripts.test_servers [moto localstack ministack]

What passes on three implementations rests on SQS and not on one server's ways.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from scripts import local_servers
from scripts.child_process import ChildError

ROOT: Final = Path(__file__).resolve().parent.parent
MOTO: Final = "moto"
TESTS: Final = (
    "tests/integration/test_queues.py",
    "tests/integration/test_drain.py",
    "tests/integration/test_results.py",
)
"""Receive, lease, delete, redrive, FIFO order, priorities, drain, conditional writes."""


def run_against(server: str) -> tuple[int, float]:
    """The exit code of pytest against one server, and the seconds it took."""
    with ExitStack() as stack:
        environment = dict(os.environ)
        if server != MOTO:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            address = stack.enter_context(local_servers.running(server, folder))
            environment["TEST_AWS_ENDPOINT_URL"] = address
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *TESTS], cwd=ROOT, env=environment, check=False
        )
        return ended.returncode, time.monotonic() - began


def main() -> int:
    """Run against each server that was named, or all."""
    console = Console()
    table = Table(title="the queue's tests")
    for column in ("server", "passed", "seconds"):
        table.add_column(column)
    has_failed = False
    for server in sys.argv[1:] or (MOTO, *local_servers.SERVERS):
        console.rule(server)
        try:
            code, took_s = run_against(server)
        except ChildError as error:
            console.print(str(error), style="red", markup=False)
            return 1
        has_failed = has_failed or code != 0
        table.add_row(server, "yes" if code == 0 else "[red]no", f"{took_s:.0f}")
    console.print(table)
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
