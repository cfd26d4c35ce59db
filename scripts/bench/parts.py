"""The parts of the bench, in the order in which they run, and how each is run short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from scripts.bench.figure import Figure


@dataclass(frozen=True)
class Part:
    """A module `scripts.bench.<name>` with `measure(runs, …) -> list[Figure]`."""

    name: str
    about: str
    runs: int
    quick_runs: int | None = None
    """None: not in the quick bench."""
    quick: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `measure` there."""

    def measure(self, runs: int, **arguments: Any) -> Sequence[Figure]:
        """Import the part and run it: what it needs is loaded by nobody else."""
        found: list[Figure] = import_module(f"scripts.bench.{self.name}").measure(runs, **arguments)
        return found


PARTS: Final = (
    Part(
        "core", "one analysis: stages, kernels, librosa's way, growth, memory", 10,
        quick_runs=9,
        quick={"seconds": (3.0, 10.0), "pipeline_seconds": (3.0,), "voices_hz": (95.0, 200.0)},
    ),
    Part(
        "start", "from the command to ready, and what is imported", 7, quick_runs=3,
        quick={"imports": False},
    ),
    Part(
        "throughput", "the I/O process on empty jobs, against a bare loop of the same calls", 7,
        quick_runs=3, quick={"jobs": 400},
    ),
    Part("requests", "single requests, against the libraries' own calls", 7),
    Part("fleet", "jobs a second and requests, against other queue workers", 5),
    Part("latency", "from send to webhook on an idle worker", 1),
    Part("saturation", "all cores computing", 5),
    Part("idle", "what an idle worker costs", 1),
    Part("memory", "resident memory over thousands of real scores", 1),
)  # fmt: skip
