"""Values, numbers and durations in short."""

import math
from datetime import timedelta
from typing import Any

import pytest
from athanor.client import Summary, _words
from athanor.client._statistics import summarize


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.53219, "0.5322"),
        (3, "3"),
        (2**70, str(2**70)),
        (12345.678, "12346"),
        (9999.7, "10000"),
        (-123456.7, "-123457"),
        (1e12, "1e+12"),
        (1.5e-7, "1.5e-07"),
        (math.inf, "inf"),
        (True, "true"),
        (None, "null"),
        ("text", "text"),
        ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'),
        ("x" * 60, "x" * 60),
        ("a" * 40 + "b" * 40, f"{'a' * 30}…{'b' * 29}"),
        (["a" * 100], f'["{"a" * 57}…'),
        pytest.param(10**5000, f"1{'0' * 58}…", id="many digits"),
        pytest.param([10**5000], f"[1{'0' * 57}…", id="many digits in a list"),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) else "",
)
def test_a_value_in_short(value: Any, text: str):
    assert _words.value(value) == text


@pytest.mark.parametrize(
    ("mean", "reach", "text"),
    [
        (0.70333, 0.02791, "0.703 ± 0.028"),
        (0.70333, 0.0999, "0.70 ± 0.10"),
        (12.3456, 1.234, "12.3 ± 1.2"),
        (70123.4, 2134.5, "70123 ± 2134"),
        (0.5, 0.0, "0.5 ± 0"),
        (7.0321e-05, 1.13e-06, "7.032e-05 ± 1.1e-06"),
        (1.5, 1e-12, "1.5 ± 1e-12"),
        (2.5e10, 1.5e9, "2.5e+10 ± 1.5e+09"),
        (0.0, 0.05, "0.000 ± 0.050"),
    ],
)
def test_a_mean_has_the_digits_that_its_interval_leaves_it(mean: float, reach: float, text: str):
    assert _words.summary(Summary(5, mean, 1.0, mean - reach, mean + reach), 5) == f"{text} (n=5)"


def test_a_mean_without_an_interval_and_one_of_which_runs_are_left_out():
    assert _words.summary(None, 3) == ""
    assert _words.summary(summarize([3]), 1) == "3 (n=1)"
    assert _words.summary(summarize([3]), 4) == "3 (n=1 of 4)"
    assert _words.summary(summarize([1.7e308, -1.7e308]), 2) == "0 (n=2)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0421, "0.0421 s"),
        (8.256, "8.26 s"),
        (59.9, "59.9 s"),
        (59.97, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_a_duration_in_words(seconds: float, text: str):
    assert _words.span(timedelta(seconds=seconds)) == text


def test_what_a_terminal_would_obey_is_written_out():
    assert _words.plain("a\tb\r\nc\x1b[31m\x00\x9b ü") == r"a\tb\r\nc\x1b[31m\x00\x9b ü"
