"""A page that says "shown by this test" must name a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def names_of_tests() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(
            re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
        )
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_test_and_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named <= names_of_tests(), sorted(named - names_of_tests())
    files = set(re.findall(r"`((?:tests|worker|analysis|scripts|infra)/[\w/.-]+\.\w+)`", text))
    assert not {file for file in files if not (ROOT / file).exists()}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_security_page_names_a_test_for_each_defence() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    threats = [row for row in rows if row.count("|") == 5 and not row.startswith("| who |")]
    assert len(threats) >= 8
    assert all(re.search(r"`test_\w+`|`tests/\S+\.py`", row) for row in threats)
