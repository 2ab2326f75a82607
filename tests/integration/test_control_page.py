"""The shared page between two processes, one of which is killed."""

import os
import signal
import time
from pathlib import Path

from athanor.experiment.control import ControlPage


def test_a_process_killed_at_any_moment_leaves_a_sequence_that_it_had_recorded(tmp_path: Path) -> None:
    """The slot is one aligned word. Of the numbers here most differ from the next in all their bytes."""
    step = 0x0102_0304_0506_0708 // 8
    ControlPage.create(tmp_path / "control").close()
    page = ControlPage(tmp_path / "control")
    child = os.fork()
    if child == 0:
        number = 0
        while True:
            page.recorded(lambda: None)(number * step)
            number = (number + 1) % 200
    seen: set[int] = set()
    try:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            seen.add(page.recorded_sequence)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    seen.add(page.recorded_sequence)
    page.close()
    assert len(seen) > 10
    assert {number % step for number in seen} == {0}
    assert max(seen) < 200 * step
