"""Which processors a measurement has."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator


@contextlib.contextmanager
def two_cores() -> Generator[list[int]]:
    """Meanwhile this process, and all that it starts, has two cores."""
    before = os.sched_getaffinity(0)
    cores = sorted(before)[:2]
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def occupied(core: int) -> Generator[None]:
    """Meanwhile a process computes on this core without a pause."""
    program = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield
        finally:
            process.kill()
