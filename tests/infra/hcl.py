"""What a test must know of Terraform's files without terraform: defaults, and names in the text."""

from __future__ import annotations

import re
from pathlib import Path

INFRA = Path(__file__).parents[2] / "infra"


def default(module: str, variable: str) -> float:
    """The default of a number variable of a module."""
    text = (INFRA / "modules" / module / "variables.tf").read_text(encoding="utf-8")
    block = text.split(f'variable "{variable}" {{')[1].split("\n}\n")[0]
    found = re.search(r"^  default\s*= ([\d.]+)$", block, re.MULTILINE)
    if found is None:
        raise AssertionError(f"{module}.{variable} has no number for a default")
    return float(found[1])


def files(*endings: str) -> list[Path]:
    """Files of infra/ with these endings, in order."""
    return sorted(path for path in INFRA.rglob("*") if path.name.endswith(endings))
