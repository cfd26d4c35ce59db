"""Keep the tables of inputs and outputs in the READMEs of infra/ equal to the code.

    python scripts/infra/module_docs.py         # rewrite them
    python scripts/infra/module_docs.py --check # exit 1 if one is out of date

Each README holds the two tables between markers; all else in it is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

INFRA: Final = Path(__file__).parents[2] / "infra"
BEGIN: Final = "<!-- tables: begin -->"
END: Final = "<!-- tables: end -->"
LONGEST_DEFAULT: Final = 60
"""Characters of a default that a table shows; a longer one is a list or map to look up."""

_BLOCK: Final = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
# As `terraform fmt` writes it: an argument of the block itself stands two spaces in.
_ARGUMENT: Final = re.compile(r"^  (\w+)\s*= (.*?)(?=^  \w|\Z)", re.MULTILINE | re.DOTALL)


def arguments(body: str) -> dict[str, str]:
    """The arguments of a block, with their text on one line."""
    found = {}
    for name, value in _ARGUMENT.findall(body):
        found[name] = re.sub(r"\s+", " ", value).strip()
    return found


def tables(folder: Path) -> str:
    """The two tables of a folder, as Markdown."""
    lines = ["## Inputs", "", "| name | type | default | meaning |", "| --- | --- | --- | --- |"]
    for kind, name, body in _BLOCK.findall((folder / "variables.tf").read_text(encoding="utf-8")):
        if kind == "variable":
            found = arguments(body)
            default = found.get("default")
            shown = "required" if default is None else f"`{_short(default)}`"
            lines.append(f"| `{name}` | `{_type(found)}` | {shown} | {_text(found)} |")
    lines += ["", "## Outputs", "", "| name | meaning |", "| --- | --- |"]
    for kind, name, body in _BLOCK.findall((folder / "outputs.tf").read_text(encoding="utf-8")):
        if kind == "output":
            lines.append(f"| `{name}` | {_text(arguments(body))} |")
    return "\n".join(lines)


def _type(found: dict[str, str]) -> str:
    kind = found["type"]
    return re.sub(r"\(\{.*\}\)", "(object)", kind) if "{" in kind else kind


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_DEFAULT else value[: LONGEST_DEFAULT - 1] + "…"


def _text(found: dict[str, str]) -> str:
    quoted = found["description"]
    return quoted[1:-1].replace('\\"', '"').replace("|", "\\|")


def rendered(folder: Path) -> str:
    """The README as it should be.

    Raises
    ------
    ValueError
        It has no place for the tables.
    """
    text = (folder / "README.md").read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{folder / 'README.md'} needs the lines {BEGIN} and {END}, once each")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(folder)}\n{END}{after}"


def stale(folder: Path) -> str | None:
    """What is wrong with a folder's README, or None."""
    readme = folder / "README.md"
    if not readme.exists():
        return f"{readme} is missing"
    try:
        wanted = rendered(folder)
    except ValueError as error:
        return str(error)
    if readme.read_text(encoding="utf-8") != wanted:
        return f"{readme} is out of date: run python scripts/infra/module_docs.py"
    return None


def folders() -> list[Path]:
    """Every folder of infra/ with variables."""
    return sorted(path.parent for path in INFRA.rglob("variables.tf"))


def main() -> int:
    """Rewrite all, or check all."""
    if sys.argv[1:] == ["--check"]:
        faults = [fault for folder in folders() if (fault := stale(folder))]
        print("\n".join(faults))
        return 1 if faults else 0
    for folder in folders():
        (folder / "README.md").write_text(rendered(folder), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
