"""Ending early: what a measurement has started is ended on the way out, whoever asks it to stop."""

import signal
import sys
from types import FrameType


def when_asked() -> None:
    """Has SIGTERM end this program by an exception, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # `timeout` asks twice; the second time must not cut the ending short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("asked to end")
