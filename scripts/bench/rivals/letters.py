"""Prints the messages of a rival, one JSON object a line, as its own producer would write them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


def jobs() -> Iterator[dict[str, str]]:
    """Read the jobs, one JSON object a line."""
    for line in sys.stdin:
        yield json.loads(line)


def write(body: Callable[[dict[str, str]], str]) -> None:
    """Write the message body of each job."""
    lines: list[dict[str, Any]] = [{"body": body(job)} for job in jobs()]
    sys.stdout.write("".join(json.dumps(line) + os.linesep for line in lines))
