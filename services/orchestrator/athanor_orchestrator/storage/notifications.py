"""How orchestrators on one PostgreSQL wake each other: LISTEN and NOTIFY. A lost one is made good by polling."""

import logging
import os
import select
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from athanor_orchestrator.storage.dialect import Listener

CHANNEL = "athanor"
LONGEST = 7900  # bytes of one payload; PostgreSQL takes less than 8000
RETRY_S = 1.0  # after the connection was lost
CLOSING_S = 1.0  # at the end, an answer of the server is waited for this long

# What may have been missed while there was no connection; single runs are left to the polls.
EVERYTHING = frozenset({"runs", "instances", "work", "cancel", "fleet"})

_log = logging.getLogger(__name__)


def encode(origin: str, topics: Collection[str]) -> list[str]:
    """Return the payloads that carry `topics`: who sends, then the topics, apart by spaces. One, when they are few."""
    payloads: list[str] = []
    current = origin
    for topic in sorted(topics):
        if len(current) + 1 + len(topic) > LONGEST:
            payloads.append(current)
            current = origin
        current += f" {topic}"
    return [*payloads, current]


def decode(payload: str) -> tuple[str, frozenset[str]]:
    """Return who sent a payload, and its topics."""
    origin, *topics = payload.split(" ")
    return origin, frozenset(topics)


class NotificationListener(Listener):
    """A thread with a connection of its own, which comes back by itself when it is lost."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        break_off: Callable[[psycopg.Connection[Any]], None],
        origin: str,
    ) -> None:
        self._connect = connect
        self._break_off = break_off
        self._origin = origin
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None  # while it is open
        self._stopping = threading.Event()
        self._stop_read, self._stop_write = os.pipe()  # makes the waiting thread look up
        self._thread: threading.Thread | None = None

    def start(self, deliver: Callable[[frozenset[str]], None]) -> None:
        """Listen on a thread; `deliver` is called there with the topics of each commit of somebody else."""
        self._thread = threading.Thread(target=self._run, args=(deliver,), name="athanor-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for its end."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.write(self._stop_write, b"x")
        if self._thread is not None:
            self._thread.join(CLOSING_S)
            # It waits for a server that hangs. Again and again, since it may only be connecting yet.
            while self._thread.is_alive():
                with self._lock:
                    if self._connection is not None:
                        self._break_off(self._connection)
                self._thread.join(CLOSING_S)
        os.close(self._stop_read)
        os.close(self._stop_write)

    def _run(self, deliver: Callable[[frozenset[str]], None]) -> None:
        heard_before = deaf = False
        while not self._stopping.is_set():
            try:
                with self._connect() as connection, self._open(connection):
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                    if heard_before:
                        deliver(EVERYTHING)
                    if deaf:
                        _log.info("hearing other orchestrators again")
                    heard_before, deaf = True, False
                    self._listen(connection, deliver)
            except (psycopg.Error, OSError) as error:
                if not deaf:  # said once, however long it lasts
                    _log.warning("not hearing other orchestrators, polling meanwhile: %s", error)
                deaf = True
            except RuntimeError:
                return  # the event loop is gone, and with it everybody who could be woken
            self._stopping.wait(RETRY_S)

    @contextmanager
    def _open(self, connection: psycopg.Connection[Any]) -> Generator[None, None, None]:
        with self._lock:
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def _listen(self, connection: psycopg.Connection[Any], deliver: Callable[[frozenset[str]], None]) -> None:
        ready = select.poll()  # not select(2), which takes no descriptor from 1024 on
        ready.register(connection.fileno(), select.POLLIN)
        ready.register(self._stop_read, select.POLLIN)
        while not self._stopping.is_set():
            ready.poll()
            if self._stopping.is_set():
                return
            topics: set[str] = set()
            for notify in connection.notifies(timeout=0):
                origin, concerned = decode(notify.payload)
                if origin != self._origin:
                    topics |= concerned
            if topics:
                deliver(frozenset(topics))
