"""Keeps the process small: the C library's allocator would hold on to the largest messages that ever went through.

Left to itself glibc takes large blocks from its heaps as soon as one has been freed, and gives each thread a heap of
its own: between the large blocks lie small ones, and a heap with a hole in it never shrinks.
"""

import ctypes
import sys

# Numbers of mallopt(3).
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_LARGE = 128 * 1024  # bytes; glibc's own first value, which it raises to 32 MiB unless it is told one
_HEAPS = 2


def hold_little() -> None:
    """Have large blocks given back when they are freed, and threads share their heaps; before threads are started."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and no need of it
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)
            mallopt(_M_ARENA_MAX, _HEAPS)
