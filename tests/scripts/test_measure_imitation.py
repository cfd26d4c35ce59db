"""The measurement on people's voices, tried on one synthetic line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.measure_imitation import CHANGES, main, print_table

LINE = Path(__file__).parent.parent / "fixtures" / "lantern"
WORDS = {
    "you": "Y UW1", "left": "L EH1 F T", "the": "DH AH0", "lantern": "L AE1 N T ER0 N",
    "burning": "B ER1 N IH0 NG", "and": "AH0 N D", "nobody": "N OW1 B AA2 D IY0",
    "came": "K EY1 M", "home": "HH OW1 M",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "one.flac").write_bytes((LINE / "good.flac").read_bytes())
    label = {
        "id": "one",
        "text": " ".join(WORDS),
        "words": [{"phones": phones.split()} for phones in WORDS.values()],
    }
    (tmp_path / "labels.jsonl").write_text(json.dumps(label) + "\n")
    return tmp_path


def test_each_change_moves_the_score_it_is_meant_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = {change: {name: s[0] for name, s in both.items()} for change, both in found.items()}
    assert set(scores) == set(CHANGES)
    assert scores["nothing"] == pytest.approx({"timing": 100.0, "pitch": 100.0}, abs=0.5)
    assert scores["30 % slower"]["timing"] < 90.0 < scores["30 % slower"]["pitch"]
    assert scores["monotone"]["pitch"] < 40.0
    assert scores["monotone"]["timing"] > 90.0
    assert scores["8 semitones higher"]["pitch"] > 90.0
    assert scores["melody upside down"]["pitch"] < scores["melody halved"]["pitch"] < 95.0


def test_the_table_has_a_row_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        {"nothing": {"timing": [98.0, 100.0], "pitch": [99.0]}, "gone": {"timing": [], "pitch": []}}
    )
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.startswith("change")
    assert " ".join(first.split()) == "nothing 1 98 / 99 / 100 99 / 99 / 99"
    assert second.split() == ["gone", "0", "none", "none"]
