"""Delays between tries."""

from athanor.client import _backoff


def test_delays_double_up_to_five_seconds():
    assert [_backoff.delay(n, draw=lambda: 1.0) for n in (1, 2, 3, 6, 7, 1000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]


def test_they_are_drawn_from_the_upper_half():
    assert _backoff.delay(7, draw=lambda: 0.0) == 2.5
    assert all(2.5 <= _backoff.delay(10) <= 5.0 for _ in range(100))
