"""A database that does everything at once on the event loop, on a real SQLite file: for tests with virtual time.

Same verbs, same SQL, same errors as the real one, and what tests need: commits that are held, commands that fail, and a
count of what was done.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.storage import changes, migration
from athanor_orchestrator.storage.sqlite import SqliteDialect
from athanor_orchestrator.storage.transaction import Transaction

T = TypeVar("T")


class _NoClock:
    def now_us(self) -> int:
        return 0


def make_template(path: Path) -> Path:
    """Make an empty database with the newest schema, to be copied for each test."""
    dialect = SqliteDialect(sqlalchemy.URL.create("sqlite", database=str(path)), _NoClock())
    dialect.acquire()
    migration.upgrade(dialect)
    dialect.release()
    return path


class InlineDatabase:
    """Stands for `storage.database.Database`."""

    def __init__(self, template: Path, path: Path, clock: Clock, on_commit: Callable[[frozenset[str]], None]) -> None:
        shutil.copy(template, path)
        self._dialect = SqliteDialect(sqlalchemy.URL.create("sqlite", database=str(path)), clock)
        for engine in (self._dialect.writer, self._dialect.readers):
            sqlalchemy.event.listen(
                engine, "connect", lambda raw, record: raw.execute("PRAGMA synchronous = OFF").close()
            )
        self.on_commit = on_commit
        self._writing = asyncio.Lock()
        self._release: asyncio.Event | None = None
        self.held = 0  # commits that wait to be released
        self.writes = 0  # commands that were committed
        self.reads = 0
        self.woken: list[frozenset[str]] = []  # topics of each commit
        self.refuse: Callable[[Callable[..., Any]], Exception | None] = lambda command: None
        self.refuse_read: Callable[[], Exception | None] = lambda: None
        self.lose_answer: Callable[[Callable[..., Any]], Exception | None] = lambda command: None  # after the commit
        self.refusals = 0
        self.on_refusal: Callable[[], None] = lambda: None

    @contextmanager
    def commits_held(self) -> Iterator[Callable[[], None]]:
        """Within it commands are carried out but not committed, until the call it yields."""
        release = self._release = asyncio.Event()
        try:
            yield release.set
        finally:
            release.set()
            self._release = None

    def break_off_hanging(self) -> int:
        return 0

    async def write(self, command: Callable[[Transaction], T], *, within: float | None = None) -> T:
        async with self._writing:
            await asyncio.sleep(0)
            with self._dialect.writer.connect() as connection, connection.begin():
                transaction = Transaction(connection, self._dialect)
                answer = command(transaction)
                _record(transaction)
                refused = self.refuse(command)
                if refused is not None:
                    if isinstance(refused, StorageUnavailable):
                        self.refusals += 1
                        self.on_refusal()
                    raise refused
                if self._release is not None:
                    self.held += 1
                    await self._release.wait()
                    self.held -= 1
            self.writes += 1
            self.woken.append(frozenset(transaction.topics))
            if transaction.topics:
                self.on_commit(frozenset(transaction.topics))
            lost = self.lose_answer(command)
            if lost is not None:
                raise lost
            return answer

    async def read(self, query: Callable[[Transaction], T], *, within: float | None = None) -> T:
        await asyncio.sleep(0)
        self.reads += 1
        refused = self.refuse_read()
        if refused is not None:
            raise refused
        return self.look(query)

    def look(self, query: Callable[[Transaction], T]) -> T:
        """Read at once."""
        with self._dialect.readers.connect() as connection:
            return query(Transaction(connection, self._dialect))

    def do(self, command: Callable[[Transaction], T]) -> T:
        """Write at once, and publish what it wakes."""
        with self._dialect.writer.connect() as connection:
            with connection.begin():
                transaction = Transaction(connection, self._dialect)
                answer = command(transaction)
                _record(transaction)
            if transaction.topics:
                self.on_commit(frozenset(transaction.topics))
            return answer

    def close(self) -> None:
        self._dialect.release()


def _record(transaction: Transaction) -> None:
    """Write the journal of changes, as the writer does."""
    if transaction.noted:
        transaction.topics |= changes.record(transaction, transaction.noted)
