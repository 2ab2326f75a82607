"""Moments, from what the contract has for them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(seconds: int, nanos: int) -> datetime:
    """A moment, to the microsecond."""
    try:
        return _second(seconds) + timedelta(0, 0, nanos // 1000)
    except OverflowError:  # a clock far out of order must not make a log unreadable
        return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


@lru_cache(64)
def _second(seconds: int) -> datetime:
    """A moment to the second, which the events of a log share with many others."""
    return _EPOCH + timedelta(0, seconds)
