"""A small server of the bench as a process of its own, known by the address that it prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.child_process import ChildProcess

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_START_TIMEOUT_S: Final = 20.0


@contextmanager
def started(module: str, folder: Path, arguments: Sequence[str] = ()) -> Iterator[str]:
    """Run `python -m module`, and give its address; it ends with the block.

    Raises
    ------
    ChildError
        It ended, or did not answer in time.
    """
    child = ChildProcess(
        module.rpartition(".")[2],
        [sys.executable, "-m", module, *arguments],
        environment={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)},
        folder=folder,
    )
    with child:
        found = child.wait_for(r"listening on (\S+)", timeout_s=_START_TIMEOUT_S)
        yield found[1]
