"""The exponent of growth."""

import pytest

from scripts.bench.growth import fit

SECONDS = (3.0, 10.0, 30.0, 60.0)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.4, 2.0])
def test_a_power_law_is_found_as_it_is(exponent: float) -> None:
    growth = fit({seconds: 0.02 * seconds**exponent for seconds in SECONDS})
    assert growth.exponent == pytest.approx(exponent)
    assert growth.scale == pytest.approx(0.02)


def test_a_quadratic_share_that_is_small_at_first_is_seen() -> None:
    growth = fit({seconds: seconds + 0.05 * seconds**2 for seconds in SECONDS})
    assert 1.3 < growth.exponent < 2.0


def test_a_fixed_cost_makes_growth_less_than_linear() -> None:
    assert fit({seconds: 5.0 + seconds for seconds in SECONDS}).exponent < 1.0


def test_one_length_or_no_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="two lengths"):
        fit({3.0: 1.0})
    with pytest.raises(ValueError, match="positive"):
        fit({3.0: 1.0, 10.0: 0.0})
