"""What the threads of the database are busy with, and since when, so that what hangs can be broken off from outside."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import sqlalchemy

from athanor_orchestrator.storage.dialect import Dialect


class UnderWay:
    """The connections at work. Used by every thread."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._lock = threading.Lock()
        self._since: dict[int, tuple[float, Any]] = {}  # by thread: monotonic seconds, the driver's connection

    @contextmanager
    def work(self, connection: sqlalchemy.Connection) -> Generator[None, None, None]:
        """Within it this thread is at work on `connection`."""
        driver = connection.connection.dbapi_connection
        with self._lock:
            self._since[threading.get_ident()] = time.monotonic(), driver
        try:
            yield
        finally:
            with self._lock:
                del self._since[threading.get_ident()]

    def break_off(self, seconds: float) -> int:
        """Break off what has been under way for longer than `seconds`; returns how many."""
        before = time.monotonic() - seconds
        # Under the lock: what is broken off is not done in the meantime, and its connection not at something else.
        with self._lock:
            hanging = [driver for since, driver in self._since.values() if since <= before]
            for driver in hanging:
                self._dialect.break_off(driver)
        return len(hanging)
