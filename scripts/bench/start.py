"""From `python -m worker run` to ready, cold and warm, and what the imports cost on the way."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from scripts.bench.figure import Bound, Figure
from scripts.bench.import_costs import ROOT, by_package, imports_of, total_ms
from scripts.bench.moto_queue import local_queue
from scripts.child_process import ChildProcess

PART: Final = "start"
IMPORTS: Final = "imports"
READY: Final = r'"event":\s*"ready"'
START_TIMEOUT_S: Final = 180.0
SHOWN: Final = 8
MB: Final = 2**20

WARM_BOUND: Final = Bound("<=", 3.0)
IO_MB_BOUND: Final = Bound("<=", 120)

IO_CODE: Final = "import worker.cli, worker.service, worker.audio_analysis"
CHILD_CODE: Final = "import worker.child, worker.audio_analysis as job; job.warm_up()"
BARE_CODE: Final = (
    "import aiobotocore.session, httpx, pydantic_settings, structlog, typer, numpy, "
    "onnxruntime, parselmouth, soundfile, soxr, av"
)
"""The libraries alone, in one process: what no worker starts without."""
OWN: Final = frozenset(("worker", "analysis", "scripts"))


def measure(runs: int, *, imports: bool = True) -> list[Figure]:
    """Start the worker cold, then warm, and the bare imports, in each round; then the imports."""
    took: dict[str, list[float]] = defaultdict(list)
    resident: list[float] = []
    with tempfile.TemporaryDirectory() as scratch, local_queue() as queue:
        for number in range(runs):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            environment = _environment(folder) | queue.environment
            for state in ("cold", "warm"):
                seconds, mb = _start(environment, folder)
                took[state].append(seconds)
                resident.append(mb)
            took["bare"].append(_bare(environment, folder))
    figures = [
        Figure.of(PART, "to ready, cold (no bytecode)", "s", took["cold"]),
        Figure.of(PART, "to ready, warm", "s", took["warm"], WARM_BOUND),
        Figure.of(PART, "bare imports of the same libraries, warm", "s", took["bare"]),
        Figure.ratio(PART, "to ready, cold / warm", took["cold"], took["warm"]),
        Figure.ratio(PART, "to ready, warm / bare imports", took["warm"], took["bare"]),
        Figure.of(PART, "I/O process when ready, resident", "MB", resident, IO_MB_BOUND),
    ]
    return figures + (_import_figures(runs) if imports else [])


def _environment(folder: Path) -> dict[str, str]:
    """The machine's own, without settings of a worker, and with empty caches in a folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "WORKER_", "PYTHON", "NUMBA_CACHE"))
    }
    return kept | {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "PYTHONUNBUFFERED": "1",
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "NUMBA_CPU_NAME": "generic",
    }


def _start(environment: Mapping[str, str], folder: Path) -> tuple[float, float]:
    """Seconds to the `ready` line, and the I/O process's resident MB then."""
    command = [sys.executable, "-m", "worker", "run"]
    began = time.monotonic()
    with ChildProcess("worker", command, environment=environment, folder=folder) as worker:
        worker.wait_for(READY, timeout_s=START_TIMEOUT_S)
        seconds = time.monotonic() - began
        return seconds, psutil.Process(worker.pid).memory_info().rss / MB


def _bare(environment: Mapping[str, str], folder: Path) -> float:
    """Seconds of an interpreter that imports the libraries and ends; once before, for bytecode."""
    took = 0.0
    for _ in range(2):
        began = time.monotonic()
        command = [sys.executable, "-c", BARE_CODE]
        with ChildProcess("bare", command, environment=environment, folder=folder) as program:
            program.wait_for_end(timeout_s=START_TIMEOUT_S)
        took = time.monotonic() - began
    return took


def _import_figures(runs: int) -> list[Figure]:
    """All imports of the two kinds of process, and their dearest libraries."""
    environment = _environment(Path(os.devnull))
    del environment["PYTHONPYCACHEPREFIX"], environment["NUMBA_CACHE_DIR"]
    figures = []
    for process, code in (("I/O process", IO_CODE), ("analysis process", CHILD_CODE)):
        totals: list[float] = []
        packages: dict[str, list[float]] = defaultdict(list)
        for _ in range(runs):
            imports = imports_of(code, environment)
            totals.append(total_ms(imports))
            for package, cost in by_package(imports).items():
                packages[package].append(cost)
        figures.append(Figure.of(IMPORTS, f"{process}, all", "ms", totals))
        libraries = [
            name
            for name in sorted(packages, key=lambda name: -statistics.median(packages[name]))
            if name not in OWN and name not in sys.stdlib_module_names and name[0] != "_"
        ]
        figures += [
            Figure.of(IMPORTS, f"{process}, {name}", "ms", packages[name])
            for name in libraries[:SHOWN]
        ]
    return figures
