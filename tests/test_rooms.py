"""How the files of the code hang together: data flows one way, and each side keeps to its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOREIGN_TO_THE_ANALYSIS = {"worker", "boto3", "botocore", "aiobotocore", "aiohttp", "httpx"}
FOREIGN_TO_THE_WORKER = {"librosa", "parselmouth", "pocketsphinx", "onnxruntime"}


def imported(file: Path, *, for_types: bool) -> Iterator[str]:
    """The modules that a file names in its imports.

    Parameters
    ----------
    for_types
        Those under `if TYPE_CHECKING` too.
    """

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("package", "for_types"), [("analysis", True), ("worker", False)])
def test_no_file_needs_one_that_needs_it(package: str, for_types: bool) -> None:
    files = {f"{package}.{file.stem}": file for file in (ROOT / package).glob("*.py")}
    needs = {
        name: {found for found in imported(file, for_types=for_types) if found in files}
        for name, file in files.items()
    }
    try:
        list(TopologicalSorter(needs).static_order())
    except CycleError as circle:
        pytest.fail(f"imports in a circle: {' <- '.join(circle.args[1])}")


@pytest.mark.parametrize(
    ("package", "foreign"),
    [("analysis", FOREIGN_TO_THE_ANALYSIS), ("worker", FOREIGN_TO_THE_WORKER)],
)
def test_neither_side_knows_what_is_the_others(package: str, foreign: set[str]) -> None:
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in (ROOT / package).rglob("*.py")
        for name in imported(file, for_types=True)
        if name.partition(".")[0] in foreign
    }
    assert found == set()
