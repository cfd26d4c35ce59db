"""The SQS server that all systems are measured on, the one that takes least of the machine.

fauxqs (`make rivals`) needs about a fifth of the processor time that LocalStack needs for a call,
and a comparison on two cores in which every delete costs the server more than the job costs the
worker would say nothing of the workers. That it wakes every poller at an arrival, which makes it
wrong for other load tests, does not count here: the queue is filled before anyone polls. Where it
is not installed LocalStack serves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts import local_servers
from scripts.bench.server_process import ROOT
from scripts.child_process import ChildProcess, NotInstalledError

FAUXQS: Final = "fauxqs"
LOCALSTACK: Final = "localstack"
NODE_MODULES: Final = ROOT / "scripts" / "bench" / "rivals" / "node_modules"
_START_TIMEOUT_S: Final = 20.0


def has_fauxqs() -> bool:
    """Whether fauxqs is installed, and Node to run it."""
    return (NODE_MODULES / FAUXQS).exists() and shutil.which("node") is not None


def chosen() -> str:
    """Name the best server that is installed. Raises `NotInstalledError` if none is."""
    if has_fauxqs():
        return FAUXQS
    if local_servers.SERVERS[LOCALSTACK].is_installed:
        return LOCALSTACK
    raise NotInstalledError(
        "no SQS server for load is installed: run `make rivals` or `make servers`"
    )


@contextmanager
def running(name: str, folder: Path) -> Iterator[str]:
    """Start a server, and give its address; it ends with the block. Raises `ChildError`."""
    if name != FAUXQS:
        with local_servers.running(name, folder) as address:
            yield address
        return
    child = ChildProcess(
        FAUXQS,
        ["node", str(NODE_MODULES.parent / "fauxqs.mjs")],
        environment={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
        folder=folder,
    )
    with child:
        found = child.wait_for(r"listening on (\S+)", timeout_s=_START_TIMEOUT_S)
        yield found[1]
