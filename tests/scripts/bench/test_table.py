"""The page's generated half, and that the other half stays."""

from pathlib import Path

import pytest

from scripts.bench.figure import Bound, Figure
from scripts.bench.machine import Machine
from scripts.bench.table import BEGIN, END, MarksError, markdown, number, write_between_marks

PAGE = Path(__file__).parents[3] / "docs" / "benchmarks.md"
FIGURES = [
    Figure("core", "kept", "×", 1.2, 1.1, 1.3, 5, Bound("<=", 1.25)),
    Figure("start", "ready", "s", 4.0, 3.5, 4.5, 3, Bound("<=", 3.0)),
    Figure("core", "plain", "ms", 1234.0, 1.0, 0.0567, 5),
]


def test_the_page_tells_each_figure_with_interval_bound_and_whether_it_is_met() -> None:
    text = markdown(FIGURES, Machine.here(), {"fleet": "celery is not installed"})
    assert "| kept | 1.20 | 1.10 – 1.30 | × | ≤ 1.25: met | 5 |" in text
    assert "| ready | 4.00 | 3.50 – 4.50 | s | ≤ 3: **not met** | 3 |" in text
    assert "| plain | 1,234 | 1.00 – 0.0567 | ms |  | 5 |" in text
    assert "### fleet\n\nNot measured: celery is not installed" in text
    assert text.count("### core") == 1
    assert f"Python {Machine.here().python}" in text


def test_what_people_wrote_around_the_marks_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# By hand\n\n{BEGIN}\nold table\n{END}\n\nAlso by hand.\n")
    write_between_marks(page, "new table\n")
    assert page.read_text() == (f"# By hand\n\n{BEGIN}\n\nnew table\n\n{END}\n\nAlso by hand.\n")
    once = page.read_text()
    write_between_marks(page, "new table\n")
    assert page.read_text() == once


@pytest.mark.parametrize(
    "text", ["no marks", f"{BEGIN}\nx", f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"]
)
def test_a_page_without_its_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(MarksError):
        write_between_marks(page, "new")
    assert page.read_text() == text


def test_the_repositorys_own_page_has_its_marks(tmp_path: Path) -> None:
    copy = tmp_path / "benchmarks.md"
    copy.write_text(PAGE.read_text())
    write_between_marks(copy, "figures")
    assert "figures" in copy.read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.02346, "0.0235"), (1.0, "1.00"), (99.94, "99.9"), (12345.6, "12,346"), (0.0, "0.00")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
