"""Identifiers: UUIDs of version 7 (RFC 9562), so that their order is the order in which they were made."""

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0  # 48 bits of milliseconds and 12 of a counter, as one number


def new_id() -> str:
    """Return a new identifier, greater than every one that this process made before."""
    global _last
    with _lock:
        # The 12 bits behind the milliseconds are a fraction of one at first, and a counter when the clock stands still
        # or goes back: a page that lists by id never sees an older one appear in front of a newer one.
        nanoseconds = time.time_ns()
        stamp = (nanoseconds // 1_000_000) << 12 | (nanoseconds % 1_000_000) * 4096 // 1_000_000
        _last = max(stamp, _last + 1)
        high = _last
    value = (high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2
    return str(uuid.UUID(int=value))


def is_id(text: str) -> bool:
    """Tell whether `text` is an identifier in the form that `new_id` writes (lower case, with hyphens)."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
