"""Imports as Python tells them, added up by package."""

import os

import pytest

from scripts.bench.import_costs import by_package, imports_of, parse, total_ms

REPORT = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     dear.inner
import time:        50 |        150 |   dear
something else that was printed
import time:        10 |        160 | own
import time:        30 |         30 |   dear.later
import time:         5 |         35 | other
"""


def test_a_package_costs_what_its_outermost_modules_took() -> None:
    imports = list(parse(REPORT))
    assert [one.depth for one in imports] == [2, 1, 0, 1, 0]
    assert by_package(imports) == pytest.approx({"dear": 0.18, "own": 0.16, "other": 0.035})
    assert total_ms(imports) == pytest.approx(0.195)


def test_a_real_interpreter_tells_what_it_imported() -> None:
    costs = by_package(imports_of("import wave", dict(os.environ)))
    assert costs["wave"] > 0.0
