"""Parts that are chosen, are not there, or fail."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from scripts.bench.__main__ import chosen, main, run
from scripts.bench.figure import Figure
from scripts.bench.parts import PARTS, Part
from scripts.child_process import NotInstalledError

FIGURE = Figure("core", "a", "×", 1.0, 1.0, 1.0, 1)


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_parts_are_chosen_by_name_and_the_quick_bench_has_fewer() -> None:
    assert [part.name for part in chosen("start, core", quick=False)] == ["start", "core"]
    assert chosen(None, quick=False) == list(PARTS)
    assert (
        {"core", "start"}
        <= {part.name for part in chosen(None, quick=True)}
        < {part.name for part in PARTS}
    )
    with pytest.raises(ValueError, match="no part cores; there are core, start"):
        chosen("cores", quick=False)


def test_a_part_that_is_not_there_is_skipped_and_said() -> None:
    outcome = run([Part("absent", "nothing", 1)], runs=None, quick=False, console=quiet())
    assert outcome.skipped == {"absent": "there is no scripts/bench/absent.py"}
    assert not outcome.failed


def test_one_part_that_fails_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(part: Part, runs: int, **_: object) -> Sequence[Figure]:
        if part.name == "core":
            raise NotInstalledError("librosa is not installed")
        if part.name == "start":
            raise RuntimeError("no port")
        return [FIGURE] * runs

    monkeypatch.setattr(Part, "measure", measure)
    parts = [Part("core", "", 1), Part("start", "", 1), Part("lines", "", 2)]
    outcome = run(parts, runs=None, quick=False, console=quiet())
    assert outcome.skipped == {"core": "librosa is not installed"}
    assert list(outcome.failed) == ["start"]
    assert outcome.figures == [FIGURE, FIGURE]


def test_moved_ratios_fail_nothing_and_a_part_that_could_not_run_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scripts.bench.record.read", lambda mode: {"core: a": 5.0})
    monkeypatch.setattr(Part, "measure", lambda *_, **__: [FIGURE])
    assert main(["--quick", "--parts", "core"]) == 0
    assert "moved: core: a from 5 to 1 (-80%)" in capsys.readouterr().out

    def broken(*_: object, **__: object) -> list[Figure]:
        raise OSError("no memory")

    monkeypatch.setattr(Part, "measure", broken)
    assert main(["--quick", "--parts", "core"]) == 1
    assert "no memory" in capsys.readouterr().out
