"""What each import costs, by Python's own account (`-X importtime`)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_ROW: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
_US_IN_MS: Final = 1000.0


@dataclass(frozen=True)
class Import:
    """One module as it was first imported; `depth` 0 is what the program itself asked for."""

    module: str
    depth: int
    own_ms: float
    cumulative_ms: float

    @property
    def package(self) -> str:
        """The name before the first dot."""
        return self.module.partition(".")[0]


def imports_of(code: str, environment: Mapping[str, str]) -> list[Import]:
    """Run a piece of code in a new interpreter and list its imports, as they ended.

    Raises
    ------
    subprocess.CalledProcessError
        The code failed.
    """
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    return list(parse(ended.stderr))


def parse(report: str) -> Iterator[Import]:
    """Read what `-X importtime` writes; other lines are passed over."""
    for own, cumulative, indent, module in _ROW.findall(report):
        yield Import(module, len(indent) // 2, int(own) / _US_IN_MS, int(cumulative) / _US_IN_MS)


def by_package(imports: Sequence[Import]) -> dict[str, float]:
    """Milliseconds by package, with all that it imported first, dearest first.

    A module that its own package imported is in that one's time already and counts once.
    """
    costs: dict[str, float] = {}
    above: list[str] = []
    # A module is told after all that it imports: read backwards, parents come first.
    for one in reversed(imports):
        del above[one.depth :]
        if one.package not in above:
            costs[one.package] = costs.get(one.package, 0.0) + one.cumulative_ms
        above.append(one.package)
    return dict(sorted(costs.items(), key=lambda item: -item[1]))


def total_ms(imports: Sequence[Import]) -> float:
    """Milliseconds of all imports together."""
    return sum(one.own_ms for one in imports)
