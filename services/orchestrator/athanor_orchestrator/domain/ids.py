"""Identifiers: UUIDs of version 7 (RFC 9562), so that their order is the order in which they were made."""

import os
import re
import threading
import time
import uuid

_FORM = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_lock = threading.Lock()
_last = {"machine": 0, "given": 0}  # by clock: 48 bits of milliseconds and 12 of a counter, as one number


def new_id(now_us: int | None = None) -> str:
    """Return a new identifier, greater than every one that this process made before by the same clock.

    `now_us` is the database's clock where the order counts beyond this process: several orchestrators order what they
    make by the one clock that they share. Without it the machine's own serves.
    """
    clock, nanoseconds = ("machine", time.time_ns()) if now_us is None else ("given", now_us * 1000)
    with _lock:
        # The 12 bits behind the milliseconds are a fraction of one at first, and a counter when the clock stands still
        # or goes back: a page that lists by id never sees an older one appear in front of a newer one.
        stamp = (nanoseconds // 1_000_000) << 12 | (nanoseconds % 1_000_000) * 4096 // 1_000_000
        _last[clock] = max(stamp, _last[clock] + 1)
        high = _last[clock]
    value = (high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2
    return str(uuid.UUID(int=value))


def is_id(text: str) -> bool:
    """Tell whether `text` is an identifier in the form that `new_id` writes (lower case, with hyphens)."""
    return _FORM.fullmatch(text) is not None
