"""Ages, as people write and read them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.commands.options import Age, age_text


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1.5d", 129600), ("4W", 2419200)],
)
def test_ages_are_read_as_people_write_them(written: str, seconds: float) -> None:
    assert Age.parse(written).seconds == seconds


def test_an_age_that_is_none_is_refused() -> None:
    result = CliRunner().invoke(app, ["dlq", "list", "--older-than", "soon"])
    assert result.exit_code == 2
    assert "is no length of time" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "?"), (-3, "0s"), (42, "42s"), (190, "3m 10s"), (3600, "1h"), (1_051_200, "12d 4h")],
)
def test_ages_are_shown_in_two_units_at_most(seconds: float | None, shown: str) -> None:
    assert age_text(seconds) == shown
