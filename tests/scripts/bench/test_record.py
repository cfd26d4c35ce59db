"""What moved since the ratios were recorded."""

from pathlib import Path

from scripts.bench.figure import Bound, Figure
from scripts.bench.machine import Machine
from scripts.bench.record import compare, read, write

AT_MOST = Bound("<=", 1.25)


def ratio(name: str, value: float, bound: Bound | None = None, part: str = "core") -> Figure:
    return Figure(part, name, "×", value, value, value, 5, bound)


def test_only_what_moved_by_more_than_15_percent_is_told() -> None:
    recorded = {"core: a": 1.0, "core: b": 1.0, "core: c": 1.0}
    now = [ratio("a", 1.14), ratio("b", 1.16), ratio("c", 0.84)]
    comparison = compare(recorded, now)
    assert [one.name for one in comparison.moved] == ["core: b", "core: c"]
    assert comparison.steady == 1
    said = "\n".join(comparison.sentences())
    assert "core: b from 1 to 1.16 (+16%)" in said
    assert "core: c from 1 to 0.84 (-16%)" in said
    assert "1 of 3 ratios within 15%" in said


def test_the_bound_says_which_way_is_worse() -> None:
    recorded = {"core: cost": 1.0, "core: speed": 3.0, "core: neither": 1.0}
    now = [
        ratio("cost", 1.5, AT_MOST),
        ratio("speed", 4.0, Bound(">=", 3.0)),
        ratio("neither", 2.0),
    ]
    assert [one.is_worse for one in compare(recorded, now).moved] == [True, False, None]


def test_a_ratio_that_was_never_recorded_is_said() -> None:
    comparison = compare({}, [ratio("new", 1.0)])
    assert comparison.unknown == ("core: new",)
    assert "not recorded: core: new" in "\n".join(comparison.sentences())


def test_a_recorded_ratio_that_is_gone_is_said_if_its_part_was_measured() -> None:
    comparison = compare({"core: old": 1.0, "fleet: other": 1.0}, [ratio("new", 1.0)])
    assert comparison.missing == ("core: old",)
    assert "not measured now: core: old" in "\n".join(comparison.sentences())


def test_seconds_are_not_compared() -> None:
    seconds = Figure("core", "decode", "s", 9.0, 9.0, 9.0, 5)
    comparison = compare({"core: decode": 1.0}, [seconds])
    assert comparison.moved == ()
    assert comparison.unknown == ()


def test_what_is_recorded_is_read_again_by_mode_and_other_parts_stay(tmp_path: Path) -> None:
    path = tmp_path / "recorded.json"
    machine = Machine.here()
    write(
        "quick", [ratio("a", 1.2), ratio("gone", 1.0), ratio("x", 2.0, part="fleet")], machine, path
    )
    write("whole", [ratio("a", 9.0)], machine, path)
    write("quick", [ratio("a", 1.3)], machine, path)
    assert read("quick", path) == {"core: a": 1.3, "fleet: x": 2.0}
    assert read("whole", path) == {"core: a": 9.0}
    assert read("quick", tmp_path / "none.json") == {}
