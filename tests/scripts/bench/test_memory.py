"""What is held against what, of a worker's memory."""

import pytest

from scripts.bench.memory import Sample, at_both_ends


def test_the_median_after_the_settling_is_held_against_the_median_at_the_end() -> None:
    samples = [
        Sample(0, {"child": 50.0}),  # still growing: caches fill
        Sample(99, {"child": 90.0}),
        Sample(100, {"child": 100.0}),
        Sample(120, {"child": 104.0}),
        Sample(140, {"child": 300.0}),  # a moment's peak
        Sample(500, {"child": 110.0}),
        Sample(980, {"child": 120.0}),
        Sample(1000, {"child": 122.0}),
    ]
    assert at_both_ends(samples, 1000) == {"child": (104.0, 121.0)}


def test_a_run_that_was_not_looked_at_is_refused() -> None:
    with pytest.raises(ValueError, match="0 and 1 samples"):
        at_both_ends([Sample(1000, {"child": 100.0})], 1000)
