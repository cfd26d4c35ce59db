"""Look the locked dependencies up in the advisory database. What `make audit` runs.

    python scripts/audit.py [requirements.txt ...]

Exit 1 if one has a known vulnerability. Where the database cannot be reached it says so and exits
0: pip-audit alone would report such a run as clean, package by package "not found".
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
DEFAULT_LOCKS: Final = ("requirements.txt", "requirements-dev.txt")
TIMEOUT_S: Final = 300


@dataclass(frozen=True)
class Verdict:
    """What the database said of one lock file."""

    audited: int
    vulnerable: tuple[str, ...]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, report: dict[str, Any]) -> Verdict:
        """From pip-audit's JSON."""
        audited, vulnerable, unknown = 0, [], []
        for dependency in report["dependencies"]:
            if "skip_reason" in dependency:
                unknown.append(dependency["name"])
                continue
            audited += 1
            vulnerable += [
                f"{dependency['name']} {dependency['version']}: {found['id']}"
                f" (fixed in {', '.join(found['fix_versions']) or 'no release yet'})"
                for found in dependency["vulns"]
            ]
        return cls(audited, tuple(vulnerable), tuple(unknown))

    @property
    def was_reached(self) -> bool:
        """Whether the database knew any package at all."""
        return self.audited > 0

    def lines(self, lock: str) -> list[str]:
        """The verdict in words."""
        if not self.was_reached:
            return [f"{lock}: SKIPPED, nothing was audited: the advisory database was not reached."]
        said = [f"{lock}: {self.audited} audited, {len(self.vulnerable)} vulnerabilities"]
        said += [f"  {text}" for text in self.vulnerable]
        if self.unknown:
            said.append(f"  unknown to the database: {', '.join(self.unknown)}")
        return said


def ask(lock: Path) -> Verdict:
    """Run pip-audit on a lock file, hashes as they stand."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
            *("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    try:
        return Verdict.of(json.loads(done.stdout))
    except json.JSONDecodeError:  # no report at all: a connection that failed outright
        print(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output")
        return Verdict(0, (), ())


def main(locks: list[str]) -> int:
    """Audit each lock; 1 if anything is vulnerable."""
    worst = 0
    for lock in locks or DEFAULT_LOCKS:
        verdict = ask(ROOT / lock)
        print("\n".join(verdict.lines(lock)))
        worst = max(worst, 1 if verdict.vulnerable else 0)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
