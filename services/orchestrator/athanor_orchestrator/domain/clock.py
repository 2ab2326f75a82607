"""The port for the wall clock.

The monotonic clock and sleeping are the event loop's (`loop.time()`, `asyncio.sleep`): a deterministic
loop drives both.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the wall-clock time."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000
