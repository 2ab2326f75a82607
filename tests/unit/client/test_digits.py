"""Numbers of more digits than Python turns into one."""

import sys

import pytest
from athanor.client import _digits
from hypothesis import given
from hypothesis import strategies as st


@given(st.text("0123456789", min_size=1, max_size=5000), st.sampled_from(["", "-", "+"]))
def test_digits_come_back_as_they_were(digits: str, sign: str):
    number = _digits.number(sign + digits)
    plain = digits.lstrip("0") or "0"
    assert _digits.text(number) == (f"-{plain}" if sign == "-" and plain != "0" else plain)


@given(st.integers(0, 12_000), st.integers(-3, 3))
def test_a_number_is_what_its_digits_say(bits: int, more: int):
    number = 2**bits + more
    assert _digits.number(_digits.text(number)) == number
    assert _digits.text(number) == str(number)


@pytest.mark.parametrize("digits", [600, 601, 640, 641, 4300, 4301])
def test_no_limit_is_met_whatever_it_is(digits: int):
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert _digits.number("9" * digits) == 10**digits - 1
        assert _digits.text(10**digits - 1) == "9" * digits
    finally:
        sys.set_int_max_str_digits(limit)


def test_a_megabyte_of_digits_takes_no_minutes():
    # By the plain way, whose time grows with the square, this takes longer than a test may.
    digits = "1234567890" * 100_000
    assert _digits.text(_digits.number(digits)) == digits
