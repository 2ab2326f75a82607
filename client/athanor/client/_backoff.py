"""How long to wait before the next try."""

import random
from collections.abc import Callable

_FIRST = 0.1  # seconds
_LONGEST = 5.0  # seconds


def delay(failures: int, draw: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after `failures` failures in a row (from 1).

    Doubles up to 5 s, and is drawn from the upper half, so that many clients do not come back at the same moment.
    """
    ceiling = min(_LONGEST, _FIRST * 2 ** min(failures - 1, 16))
    return ceiling * (0.5 + 0.5 * draw())
