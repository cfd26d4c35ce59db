"""The measurement of what was not said, tried on two synthetic lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.reference import Reference
from scripts.measure_omission import main

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    with (tmp_path / "labels.jsonl").open("w") as labels:
        for line in ("lantern", "winter"):
            (tmp_path / "audio" / f"{line}.flac").write_bytes(
                (FIXTURES / line / "good.flac").read_bytes()
            )
            text = Reference.from_textgrid((FIXTURES / line / "actor.TextGrid").read_bytes())
            words = [
                {"text": word.text, "phones": [phone.phone for phone in word.phones]}
                for word in text.words
            ]
            labels.write(json.dumps({"id": line, "words": words}) + "\n")
    return tmp_path


def test_lines_fall_as_less_of_them_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    lines = {row["case"]: row for row in found["lines"]}
    assert lines["whole"]["completeness"] == 100
    said = ("whole", "last word cut off", "second half cut off", "first word alone")
    overall = [lines[case]["median"] for case in said]
    assert overall == sorted(overall, reverse=True)
    assert all(row["null"] == 0 for row in lines.values())
    assert sum(row["words"] for row in found["words"]) == 4


def test_the_tables_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--lines", "1"]) == 0
    printed = capsys.readouterr().out
    assert "lines that were not said, of 1 lines" in printed
    assert "words that were not said, of 1 lines" in printed
