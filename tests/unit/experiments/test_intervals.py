"""Wilson's interval by values that are in print, and percentiles."""

import pytest
from athanor_experiments.intervals import Proportion, percentile, wilson

Z = 1.959963984540054


@pytest.mark.parametrize(
    ("count", "of", "interval"),
    [
        (81, 263, (0.2553, 0.3662)),  # R. G. Newcombe, Statistics in Medicine 17, 1998, table I, method 3
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_the_interval_is_that_of_the_tables(count: int, of: int, interval: tuple[float, float]) -> None:
    assert wilson(count, of, 0.95) == pytest.approx(interval, abs=5e-5)


def test_at_the_ends_it_has_a_closed_form() -> None:
    assert wilson(10, 10, 0.95) == pytest.approx((10 / (10 + Z * Z), 1))
    assert wilson(0, 10, 0.95) == pytest.approx((0, Z * Z / (10 + Z * Z)))


def test_both_bounds_are_where_the_score_is_z() -> None:
    for bound in wilson(7, 25, 0.95) or ():
        assert abs(7 / 25 - bound) / (bound * (1 - bound) / 25) ** 0.5 == pytest.approx(Z)


def test_of_nothing_there_is_no_rate_and_no_interval() -> None:
    assert wilson(0, 0, 0.95) is None
    assert Proportion(0, 0).to_result(0.95) == {"count": 0, "of": 0, "rate": None, "interval": None}


def test_more_confidence_is_a_wider_interval() -> None:
    narrow, wide = wilson(5, 10, 0.8), wilson(5, 10, 0.99)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.25, 2), (0.5, 3), (0.9, 4.6), (1, 5)])
def test_percentiles_are_interpolated(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4, 5], share) == pytest.approx(value)
