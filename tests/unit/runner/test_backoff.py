"""Pauses between tries."""

import random

from athanor_runner.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    backoff = Backoff(0.1, 5, Highest())
    assert [round(backoff.next(), 1) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    backoff.reset()
    assert backoff.next() == 0.1
    for _ in range(5000):
        backoff.next()  # hours of it overflow nothing


def test_pauses_are_spread() -> None:
    pauses = [Backoff(1, 5, random.Random(seed)).next() for seed in range(100)]
    assert all(0.5 <= pause <= 1 for pause in pauses)
    assert max(pauses) - min(pauses) > 0.4
