"""Confidence intervals of proportions, and percentiles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any


@dataclass(frozen=True, slots=True)
class Proportion:
    """So many of so many."""

    count: int
    of: int

    def to_result(self, confidence: float) -> dict[str, Any]:
        """Say it as part of a result, with rate and interval; those of nothing are None."""
        interval = wilson(self.count, self.of, confidence)
        return {
            "count": self.count,
            "of": self.of,
            "rate": round(self.count / self.of, 6) if self.of else None,
            "interval": None if interval is None else [round(bound, 6) for bound in interval],
        }


def wilson(count: int, of: int, confidence: float) -> tuple[float, float] | None:
    """The score interval of a proportion, two-sided; None of nothing.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22, 1927. It keeps near its level for few observations and for proportions near 0 and 1.
    """
    if of == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, scale = count / of, 1 + z * z / of
    center = (rate + z * z / (2 * of)) / scale
    half = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of)) / scale
    # At the ends it is exact; the arithmetic is not.
    return (0.0 if count == 0 else center - half, 1.0 if count == of else center + half)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, between which it is interpolated linearly (type 7 of Hyndman and Fan, 1996)."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
