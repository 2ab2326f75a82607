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
from athanor_orchestrator.storage.transaction import Transaction
from athanor_orchestrator.storage.under_way import UnderWay
from athanor_orchestrator.storage.writer import Command, Writer

T = TypeVar("T")

ANSWER_S = 10.0  # a caller is told by then, whatever the database is doing
HANGING_S = 40.0  # under way for longer, it is broken off: the server has given it up, if it does anything at all
CLOSING_S = 5.0  # at the end, what is under way gets this long


class Database:
    """One open database: one writer, a few readers, and on PostgreSQL a listener for other orchestrators' commits."""

    def __init__(self, dialect: Dialect, on_commit: Callable[[frozenset[str]], None]) -> None:
        """Use `open` instead."""
        self._dialect = dialect
        self._on_commit = on_commit
        self._under_way = UnderWay(dialect)
        self._writer = Writer(dialect, self._under_way, on_commit, self._troubled)
        self.refusals = 0  # how often the database has not taken what was written, up to now
        self.on_refusal: Callable[[], None] = lambda: None  # called on the event loop at each
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
            if dialect.trouble(error) in (Trouble.LOST, Trouble.UNAVAILABLE):
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
        self._writer.join(CLOSING_S)
        self._under_way.break_off(CLOSING_S)
        self._writer.join()
        if self._listener is not None:
            self._listener.close()
        if self._readers is not None:
            self._readers.shutdown()
        # Last, and the lock at the very end: whoever gets it finds nothing of this process at work.
        self._dialect.release()

    def _troubled(self) -> None:
        self.refusals += 1
        self.on_refusal()

    def break_off_hanging(self) -> int:
        """Break off what has been under way for so long that the server must be hanging; returns how many."""
        return self._under_way.break_off(HANGING_S)

    async def write(self, command: Callable[[Transaction], T], *, within: float | None = ANSWER_S) -> T:
        """Carry out a command and answer after its commit.

        Commands that wait at the same time share one transaction, each in a savepoint of its own: what one of them
        raises undoes that one alone and is raised here. A command may be called more than once (when the transaction
        around it has to be repeated), so it changes nothing but the database. When the caller is cancelled the command
        is carried out all the same.

        Raises `StorageUnavailable` when the database cannot be reached or written, or is not done `within` seconds
        (None: however long it takes); it says when the command may have been carried out, or still may be.
        """
        waiting = Command(command, asyncio.get_running_loop().create_future())
        self._writer.submit(waiting)
        limit = asyncio.timeout(within)
        try:
            async with limit:
                return await waiting.future
        except TimeoutError:
            if not limit.expired():
                raise
            waiting.given_up = True
            self._troubled()
            raise StorageUnavailable(f"the database was not done within {within:g} s", maybe_done=True) from None

    async def read(self, query: Callable[[Transaction], T], *, within: float | None = ANSWER_S) -> T:
        """Answer a query from one snapshot of what is committed. It may be called more than once and must not write.

        Raises `StorageUnavailable` when the database cannot be reached, or has not answered `within` seconds.
        """
        if self._readers is None or self._closed:
            raise StorageUnavailable("the database is being closed")
        limit = asyncio.timeout(within)
        try:
            async with limit:
                return await asyncio.get_running_loop().run_in_executor(self._readers, self._answer, query)
        except TimeoutError:
            if not limit.expired():
                raise
            raise StorageUnavailable(f"the database has not answered within {within:g} s") from None

    def _answer(self, query: Callable[[Transaction], T]) -> T:
        # Twice, the second time on a fresh connection: the pooled one may have been broken from before.
        for last in (False, True):
            try:
                return self._ask(query)
            except Exception as error:
                trouble = self._dialect.trouble(error)
                if trouble is Trouble.FAULT:
                    raise
                if last or trouble is Trouble.UNAVAILABLE:
                    raise unavailable(error) from error
        raise AssertionError("returned or raised")

    def _ask(self, query: Callable[[Transaction], T]) -> T:
        # The transaction ends with the connection's return to the pool, before anything is sent to anybody.
        with self._dialect.readers.connect() as connection, self._under_way.work(connection):
            try:
                return query(Transaction(connection, self._dialect))
            except Exception as error:
                # What the driver is asked without SQLAlchemy, the driver tells without it.
                if self._dialect.trouble(error) is Trouble.LOST:
                    connection.invalidate()
                raise


def dialect_for(url: str, clock: Clock) -> Dialect:
    """Return what knows the kind of database at `url`; nothing is connected yet. Raises `StorageIncompatible`."""
    try:
        address = sqlalchemy.make_url(url)
    except exc.ArgumentError as error:
        raise StorageIncompatible("the database's address is not a URL") from error
    match address.get_backend_name():
        # Each only where it is wanted: what a driver loads stays in memory for as long as the orchestrator runs.
        case "sqlite":
            from athanor_orchestrator.storage.sqlite import SqliteDialect

            return SqliteDialect(address, clock)
        case "postgresql" | "postgres":
            from athanor_orchestrator.storage.postgresql import PostgresqlDialect

            return PostgresqlDialect(address)
        case other:
            raise StorageIncompatible(f"{other} is no kind of database that is known here: use sqlite or postgresql")
