"""Folding SQLite's WAL into the file on a thread of its own, so that commits do not wait for it."""

import logging
import sqlite3
import threading
from pathlib import Path

EVERY_BYTES = 4 * 1024 * 1024  # of what is stored; by then some thousand pages are in the WAL
JOINING_S = 5.0

_log = logging.getLogger(__name__)


class Checkpoints:
    """Folds behind the writer.

    With commits following each other this never gets to the WAL's end, so it never begins anew by this alone: the
    writer's own checkpoint sees to that, seldom, and with little left to do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = 0
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def storing(self, size: int) -> None:
        """So many bytes more are being written. Called by the writer alone; starts the thread when it has to do."""
        self._bytes += size
        if self._bytes < EVERY_BYTES:
            return
        self._bytes = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="athanor-checkpoints", daemon=True)
            self._thread.start()
        self._due.set()

    def close(self) -> None:
        """End the thread; the writer has stopped before."""
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(JOINING_S)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            self._due.wait()
            self._due.clear()
            if self._closed:
                break
            try:
                if connection is None:
                    connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
                    connection.execute("PRAGMA synchronous = FULL").close()
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
            except sqlite3.Error as error:
                # The writer does it, and whatever is wrong with the file is its to report.
                _log.debug("the WAL was not folded: %s", error)
        if connection is not None:
            connection.close()
