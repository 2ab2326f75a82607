"""Complaining about what goes on for long: at once, and then every now and then."""

import time
from collections.abc import Callable

INTERVAL = 60.0  # seconds between two complaints about the same


class Complaints:
    """When something was last complained of, by subject. May be used by one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def due(self, subject: str) -> bool:
        """Is it time to complain of this? If so it counts as done."""
        now = self._clock()
        if now < self._due.get(subject, now):
            return False
        self._due = {known: at for known, at in self._due.items() if at > now}
        self._due[subject] = now + INTERVAL
        return True
