"""Mean, spread and confidence interval, against tables that others have published."""

import math

import pytest
from athanor.client._statistics import Summary, summarize, t_quantile
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: upper critical values, here by the two-sided probability.
TABLE = {
    0.90: {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 10: 1.812, 30: 1.697, 100: 1.660},
    0.95: {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 20: 2.086, 60: 2.000, 100: 1.984},
    0.99: {1: 63.657, 2: 9.925, 3: 5.841, 5: 4.032, 10: 3.169, 30: 2.750, 100: 2.626},
}


@pytest.mark.parametrize(("confidence", "degrees"), [(one, n) for one, row in TABLE.items() for n in row])
def test_quantiles_are_those_of_the_table(confidence: float, degrees: int):
    assert t_quantile(confidence, degrees) == pytest.approx(TABLE[confidence][degrees], abs=0.0006)


@given(st.floats(0.01, 0.999), st.integers(1, 300))
def test_quantiles_are_those_of_scipy(confidence: float, degrees: int):
    expected = special.stdtrit(degrees, 0.5 + confidence / 2)
    assert t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-9)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution():
    assert t_quantile(0.95, 20_001) == pytest.approx(1.959964, abs=2e-4)
    assert t_quantile(0.95, 20_000) == pytest.approx(1.959964, abs=2e-4)


def test_the_interval_of_a_published_example():
    # The same handbook, 1.3.5.2: 195 measurements of a heat flow meter, mean 9.261460, standard deviation 0.022789.
    reach = t_quantile(0.95, 194) * 0.022789 / math.sqrt(195)
    assert (9.261460 - reach, 9.261460 + reach) == (
        pytest.approx(9.258242, abs=2e-6),
        pytest.approx(9.264679, abs=2e-6),
    )


def test_the_data_of_student_himself():
    # Student, The Probable Error of a Mean, 1908: additional hours of sleep. The interval is that of R's t.test.
    found = summarize([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (found.count, found.mean) == (10, pytest.approx(1.58))
    assert found.standard_deviation == pytest.approx(1.229995, abs=1e-6)
    assert (found.low, found.high) == (pytest.approx(0.7001142, abs=1e-6), pytest.approx(2.4598858, abs=1e-6))


def test_a_single_value_has_no_spread_and_no_interval():
    assert summarize([3]) == Summary(1, 3.0, None, None, None)


def test_equal_values_have_an_interval_of_no_width():
    assert summarize([0.1, 0.1, 0.1]) == Summary(3, 0.1, 0.0, 0.1, 0.1)


def test_large_integers_are_averaged_exactly():
    assert summarize([2**60, 2**60 + 2]).mean == float(2**60 + 1)
    assert summarize([2**60, 2**60 + 2]).standard_deviation == pytest.approx(math.sqrt(2))


def test_what_no_float_holds_is_left_out():
    assert summarize([1.7e308, -1.7e308]) == Summary(2, 0.0, None, None, None)
    far = summarize([1e308, -1e308])
    assert (far.mean, far.low, far.high) == (0.0, None, None)
    assert far.standard_deviation == pytest.approx(math.sqrt(2) * 1e308)


def test_more_confidence_is_a_wider_interval():
    narrow, wide = summarize([1, 2, 4], 0.9), summarize([1, 2, 4], 0.99)
    assert narrow.high is not None
    assert wide.high is not None
    assert narrow.high < wide.high


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, math.nan])
def test_a_confidence_is_between_0_and_1(confidence: float):
    with pytest.raises(ValueError, match=r"must be between 0 and 1, for example 0\.95"):
        summarize([1, 2], confidence)
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        t_quantile(confidence, 3)


def test_what_cannot_be_summarized_is_refused():
    with pytest.raises(ValueError, match="nothing to summarize"):
        summarize([])
    with pytest.raises(ValueError, match="at least one degree of freedom"):
        t_quantile(0.95, 0)
