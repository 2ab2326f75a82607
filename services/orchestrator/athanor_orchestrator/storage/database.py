"""The database as the engine sees it: commands that write, queries that read, and word of what was committed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy
from sqlalchemy import exc

from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.errors import StorageIncompatible, StorageUnavailable
from athanor_orchestrator.storage import migration
from athanor_orchestrator.storage.dialect import READERS, Dialect, Listener, Trouble, unavailable
from athanor_orchestrator.storage.postgresql import PostgresqlDialect
from athanor_orchestrator.storage.sqlite import SqliteDialect
from athanor_orchestrator.storage.transaction import Transaction
from athanor_orchestrator.storage.writer import Writer

T = TypeVar("T")


class Database:
    """One open database: one writer, a few readers, and on PostgreSQL a listener for other orchestrators' commits."""

    def __init__(self, dialect: Dialect, on_commit: Callable[[frozenset[str]], None]) -> None:
        """Use `open` instead."""
        self._dialect = dialect
        self._on_commit = on_commit
        self._writer = Writer(dialect, on_commit)
        self._readers: ThreadPoolExecutor | None = None
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @classmethod
    def open(cls, url: str, *, clock: Clock, on_commit: Callable[[frozenset[str]], None]) -> "Database":
        """Open the database at `url` and bring its schema up to date; blocks meanwhile.

        `url` is `sqlite:////absolute/path` (the file is made when it is not there) or `postgresql://...`. `on_commit`
        is called on the event loop with the topics of each commit, this process's and on PostgreSQL also those of other
        orchestrators; a lost call must be harmless, because a wake-up is a hint.

        Raises `StorageInUse` when another orchestrator has the SQLite file, `StorageIncompatible` when a newer version
        wrote the database or the address is of neither kind, `StorageUnavailable` when it cannot be reached.
        """
        dialect = dialect_for(url, clock)
        dialect.acquire()
        try:
            migration.upgrade(dialect)
        except BaseException as error:
            dialect.release()
            if dialect.trouble(error) is Trouble.UNAVAILABLE:
                raise unavailable(error) from error
            raise
        return cls(dialect, on_commit)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads; answers and wake-ups are delivered on `loop`."""
        self._loop = loop
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="athanor-reader")
        self._writer.start(loop)
        self._listener = self._dialect.listener()
        if self._listener is not None:
            self._listener.start(self._heard)

    def _heard(self, topics: frozenset[str]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._on_commit, topics)

    async def close(self) -> None:
        """Carry out what is waiting, then stop the threads and let go of the database. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._writer.join()
        if self._listener is not None:
            self._listener.close()
        if self._readers is not None:
            self._readers.shutdown()
        # Last, and the lock at the very end: whoever gets it finds nothing of this process at work.
        self._dialect.release()

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Carry out a command and answer after its commit.

        Commands that wait at the same time share one transaction, each in a savepoint of its own: what one of them
        raises undoes that one alone and is raised here. A command may be called more than once (when the transaction
        around it has to be repeated), so it changes nothing but the database. When the caller is cancelled the command
        is carried out all the same.

        Raises `StorageUnavailable` when the database cannot be reached or written; when the connection was lost
        during the commit itself, the command may have been carried out.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(command, future)
        return await future

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """Answer a query from one snapshot of what is committed. It may be called more than once and must not write.

        Raises `StorageUnavailable` when the database cannot be reached.
        """
        if self._readers is None or self._closed:
            raise StorageUnavailable("the database is being closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._answer, query)

    def _answer(self, query: Callable[[Transaction], T]) -> T:
        try:
            return self._ask(query)
        except (exc.SQLAlchemyError, OSError) as error:
            if self._dialect.trouble(error) is Trouble.FAULT:
                raise
        # Once more, on a fresh connection: the pooled one may have been broken from before.
        try:
            return self._ask(query)
        except (exc.SQLAlchemyError, OSError) as error:
            if self._dialect.trouble(error) is Trouble.FAULT:
                raise
            raise unavailable(error) from error

    def _ask(self, query: Callable[[Transaction], T]) -> T:
        # The transaction ends with the connection's return to the pool, before anything is sent to anybody.
        with self._dialect.readers.connect() as connection:
            return query(Transaction(connection, self._dialect))


def dialect_for(url: str, clock: Clock) -> Dialect:
    """Return what knows the kind of database at `url`; nothing is connected yet. Raises `StorageIncompatible`."""
    try:
        address = sqlalchemy.make_url(url)
    except exc.ArgumentError as error:
        raise StorageIncompatible("the database's address is not a URL") from error
    match address.get_backend_name():
        case "sqlite":
            return SqliteDialect(address, clock)
        case "postgresql" | "postgres":
            return PostgresqlDialect(address)
        case other:
            raise StorageIncompatible(f"{other} is no kind of database that is known here: use sqlite or postgresql")
